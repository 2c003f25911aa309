// The crates of a workspace, their files, and which file imports which.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { declare, Module, tokens } from './source.mjs';

/** Every crate of the workspace at `root`, by the name of its folder. */
export function crates(root) {
  const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8');
  const [, members] = manifest.match(/^members\s*=\s*\[([^\]]*)\]/mu);
  const all = [...members.matchAll(/"([^"]+)"/gu)].map(([, folder]) => new Crate(root, folder));
  const folders = new Map(all.map((crate) => [crate.package, crate.folder]));
  for (const crate of all) crate.dependencies = crate.dependencies.map((name) => folders.get(name)).filter(Boolean);
  const used = new Set(all.flatMap((crate) => crate.dependencies));
  // A crate on which only tests depend is a test.
  return all.filter((crate) => used.has(crate.folder) || crate.isProgram || all.length === 1);
}

class Crate {
  constructor(root, folder) {
    this.root = root;
    this.folder = folder;
    const manifest = readFileSync(join(root, folder, 'Cargo.toml'), 'utf8');
    this.package = manifest.match(/^name\s*=\s*"([^"]+)"/mu)[1];
    this.dependencies = dependencies(manifest);
    this.isProgram = existsSync(join(root, folder, 'src/main.rs'));
    /** Its files' text, by their paths from the workspace's root. */
    this.texts = new Map();
    this.modules = [];
    for (const name of ['lib.rs', 'main.rs']) {
      const path = join(root, folder, 'src', name);
      if (existsSync(path)) this.#read(new Module('crate', path), dirname(path));
    }
  }

  /** Reads a module's file and those of the modules below it; `below` is the folder that they are in. */
  #read(module, below) {
    const text = readFileSync(module.file, 'utf8');
    this.texts.set(relative(this.root, module.file), text);
    declare(module, tokens(text));
    this.#readBelow(module, below);
  }

  #readBelow(module, below) {
    this.modules.push(module);
    for (const child of module.children.values()) {
      const folder = join(below, child.name);
      if (!module.elsewhere.includes(child)) {
        this.#readBelow(child, folder);
        continue;
      }
      child.file = [`${folder}.rs`, join(folder, 'mod.rs')].find((path) => existsSync(path));
      if (!child.file) throw new Error(`${module.file}: no file for mod ${child.name}`);
      this.#read(child, folder);
    }
  }

  /** How many lines each file has. */
  lines() {
    return new Map([...this.texts].map(([file, text]) => [file, text.split('\n').length - 1]));
  }

  /** Each file, and the files that it imports. */
  imports() {
    const edges = new Map([...this.texts.keys()].map((file) => [file, new Set()]));
    for (const module of this.modules) {
      const from = relative(this.root, module.file);
      const globs = module.globs.length > 0 ? [...module.names].map((name) => [name]) : [];
      for (const path of [...module.paths, ...globs]) {
        const found = resolve(module, path);
        const to = found?.file && relative(this.root, found.file);
        if (to && to !== from) edges.get(from).add(to);
      }
    }
    return edges;
  }
}

/** The packages that a manifest names, but for those of tests alone. */
function dependencies(manifest) {
  let section = '';
  const names = [];
  for (const line of manifest.split('\n')) {
    const heading = line.match(/^\[(.+)\]/u);
    if (heading) section = heading[1];
    const name = line.match(/^([\w-]+)/u)?.[1];
    if (name && /(?:^|\.)(?:build-)?dependencies$/u.test(section)) names.push(name);
  }
  return names;
}

/**
 * What a path leads to, named in `module`: a module, or the file with an item's definition. Undefined where it leads
 * out of the crate.
 */
function resolve(module, path, seen = new Set()) {
  const key = `${module.file} ${path.join('::')}`;
  if (seen.has(key)) return undefined;
  seen.add(key);
  let [here, rest] = begin(module, path, seen);
  for (const [position, name] of rest.entries()) {
    const found = lookup(here, name, seen, position === rest.length - 1);
    // A name that nobody declares comes from a macro: its module's file is the nearest known file.
    if (!found) return position === 0 && here === module ? undefined : { file: here.file };
    if (!found.module) return found;
    here = found.module;
  }
  return { module: here };
}

/** Where a path begins, and what of it is left. */
function begin(module, path) {
  let here = module;
  let at = 0;
  if (path[0] === 'crate') {
    here = module.root;
    at = 1;
  } else {
    if (path[0] === 'self') at = 1;
    for (; path[at] === 'super'; at += 1) here = here.parent ?? here;
  }
  return [here, path.slice(at)];
}

function lookup(module, name, seen, isLast) {
  const child = module.children.get(name);
  if (child && !isLast) return { module: child };
  if (module.items.has(name)) return { file: module.file };
  const bound = module.uses.get(name);
  const found = bound && resolve(module, bound, seen);
  if (found) return found;
  if (child) return { module: child };
  for (const path of module.globs) {
    const opened = resolve(module, path, seen);
    const within = opened?.module && lookup(opened.module, name, seen, isLast);
    if (within) return within;
  }
  return undefined;
}
