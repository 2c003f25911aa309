// Tests the survey of rooms on made-up workspaces.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { survey } from './rooms.mjs';
import { circles } from './rooms/circles.mjs';
import { crates } from './rooms/workspace.mjs';

/** Writes a workspace whose crates' files are given by path, and hands its folder on. */
function withWorkspace(files, use) {
  const root = mkdtempSync(join(tmpdir(), 'rooms-'));
  const folders = [...new Set(Object.keys(files).map((path) => path.split('/')[0]))];
  const all = { 'Cargo.toml': `[workspace]\nmembers = [${folders.map((folder) => `"${folder}"`).join(', ')}]\n` };
  for (const folder of folders) all[`${folder}/Cargo.toml`] = `[package]\nname = "quire-${folder}"\n`;
  Object.assign(all, files);
  try {
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return use(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** What each file of the crate `ledger` imports, without the folders before it; files that import nothing are left out. */
function imports(files) {
  const placed = Object.fromEntries(Object.entries(files).map(([path, text]) => [`ledger/src/${path}`, text]));
  return withWorkspace(placed, (root) => {
    const [crate] = crates(root);
    const short = (path) => path.replace('ledger/src/', '');
    const found = [...crate.imports()].map(([from, to]) => [short(from), [...to].map(short).sort()]);
    return Object.fromEntries(found.filter(([, to]) => to.length > 0));
  });
}

test('a re-export at the root leads to the file that defines the item', () => {
  const found = imports({
    'lib.rs': 'mod state;\nmod user;\npub use state::engine::{Engine, open as start};\n',
    'state/mod.rs': 'pub mod engine;\n',
    'state/engine.rs': 'pub struct Engine;\npub fn open() {}\n',
    'user.rs': 'use crate::Engine;\nfn go() { crate::start(); }\n',
  });
  assert.deepEqual(found, { 'user.rs': ['state/engine.rs'] });
});

test('paths through super, self, modules that use brings, lists and other names are followed', () => {
  const found = imports({
    'lib.rs': 'mod a;\nmod b;\nmod c;\nmod d;\nmod e;\n',
    'a.rs': 'use crate::{b::{self, One}, c::Two as Other};\nfn f() { b::inner::deep(); }\n',
    'b/mod.rs': 'pub mod inner;\npub struct One;\nfn f() { self::inner::deep(); inner::deep() }\n',
    'b/inner.rs': 'pub fn deep() { super::super::c::free(); super::super::d::x() }\n',
    'c.rs': 'pub struct Two;\npub fn free() {}\n',
    'd.rs': 'pub fn x() {}\nmod inline { fn y() { super::super::a::f() } }\n',
    'e.rs': 'use super::b as renamed;\nfn g(x: renamed::One) -> Vec<renamed::inner::Thing> { std::mem::take(x) }\n',
  });
  assert.deepEqual(found, {
    'a.rs': ['b/inner.rs', 'b/mod.rs', 'c.rs'],
    'b/inner.rs': ['c.rs', 'd.rs'],
    'b/mod.rs': ['b/inner.rs'],
    'd.rs': ['a.rs'],
    'e.rs': ['b/inner.rs', 'b/mod.rs'],
  });
});

test('comments, texts, characters and lifetimes are no paths', () => {
  const found = imports({
    'lib.rs': 'mod a;\nmod b;\n',
    'a.rs': `
      //! crate::b::one
      /* crate::b::one /* nested */ crate::b::one */
      const T: &str = "crate::b::one(\\" // still a text"; const R: &str = r#"crate::b::"one""#;
      fn f<'a>(x: &'a str) -> char { let _ = ('"', '\\'', b'{', "/*"); '{' }
      fn g() { let crate_b = x.b::<u8>(); Vec::<u8>::new(); }
    `,
    'b.rs': 'pub fn one() {}\n',
  });
  assert.deepEqual(found, {});
  const after = imports({
    'lib.rs': 'mod a;\nmod b;\n',
    'a.rs': `/* ' */ fn f<'a>() -> char { '{' } const R: &str = r#"}"#; fn g() { crate::b::one() }\n`,
    'b.rs': 'pub fn one() {}\n',
  });
  assert.deepEqual(after, { 'a.rs': ['b.rs'] });
});

test('what is compiled for tests imports nothing, and its files are not counted', () => {
  const files = {
    'lib.rs': 'mod a;\nmod b;\n#[cfg(test)]\nmod kit;\n',
    'a.rs': `
      #[cfg(test)] use crate::b::one;
      #[cfg(test)] mod tests { use crate::b::one; fn f() { if x { } } }
      #[cfg(test)] fn only() { crate::b::one() }
      fn f() { #[cfg(test)] crate::b::one(); two() }
      #[cfg(not(test))] fn two() {}
      #[cfg(all(test, unix))] mod more;
    `,
    'b.rs': 'pub fn one() { crate::a::two() }\n',
    'kit.rs': 'use crate::a::two;\n',
    'a/more.rs': 'use crate::b::one;\n',
  };
  assert.deepEqual(imports(files), { 'b.rs': ['a.rs'] });
});

test('everything that a module brings, names in attributes and macros are found', () => {
  const found = imports({
    'lib.rs': 'mod a;\nmod b;\nmod c;\nmod d;\n',
    'a.rs': 'use crate::b::*;\nfn f(x: Thing) { x.run() }\n',
    'b.rs': 'pub use crate::c::Thing;\npub struct Unused;\n',
    'c.rs': 'pub struct Thing;\n#[serde(with = "crate::d::text")] pub struct Other { #[serde(default = "crate::d::text")] x: u8 }\n',
    'd.rs': 'macro_rules! make { () => { $crate::b::Unused } }\npub mod text {}\npub fn text() {}\n',
  });
  assert.deepEqual(found, { 'a.rs': ['c.rs'], 'c.rs': ['d.rs'], 'd.rs': ['b.rs'] });
});

test('a name that a macro makes is found in its module', () => {
  const found = imports({
    'lib.rs': 'mod a;\nmod b;\n',
    'a.rs': 'use crate::b::{Made, Known};\nfn f() { unknown::thing(); Made::new() }\n',
    'b.rs': 'make!(Made);\n',
  });
  assert.deepEqual(found, { 'a.rs': ['b.rs'] });
});

test('a module and an item of one name are told apart, and a re-export in a circle ends', () => {
  const found = imports({
    'lib.rs': 'mod check;\nmod a;\nmod b;\npub use check::check;\npub use a::Lost;\n',
    'check.rs': 'pub fn check() {}\npub mod depth;\n',
    'check/depth.rs': 'pub struct Depth;\n',
    'a.rs': 'pub use crate::Lost;\nuse crate::check::depth::Depth;\nfn f() { crate::check(); b::<Depth>() }\n',
    'b.rs': 'use crate::a::Lost;\nimpl crate::check::depth::Depth { const fn new() -> Self { Self } }\nconst A: [u8; 1] = { [0] };\nfn after() { crate::check::check() }\n',
  });
  assert.deepEqual(found['a.rs'], ['check.rs', 'check/depth.rs']);
  assert.deepEqual(found['b.rs'], ['a.rs', 'check.rs', 'check/depth.rs']);
});

test('circles are the strongly connected components', () => {
  const graph = { a: 'b', b: 'c', c: 'ad', d: 'e', e: 'd', f: 'a', g: 'g' };
  const edges = new Map(Object.entries(graph).map(([from, to]) => [from, new Set(to)]));
  assert.deepEqual(circles(edges), [['a', 'b', 'c'], ['d', 'e']]);
  assert.deepEqual(circles(new Map([['a', ['b', 'c']], ['b', ['c']], ['c', []]])), []);
  const after = new Map([['a', ['b', 'c']], ['b', []], ['c', ['b', 'd']], ['d', ['c']]]);
  assert.deepEqual(circles(after), [['c', 'd']]);
});

/** Files of a crate that import each other in a ring. */
function ring(crate, size) {
  const files = Array.from({ length: size }, (_, number) => [
    `${crate}/src/f${number}.rs`,
    `use crate::f${(number + 1) % size}::F${(number + 1) % size};\npub struct F${number};\n`,
  ]);
  const root = Array.from({ length: size }, (_, number) => `mod f${number};\n`).join('');
  return { [`${crate}/src/lib.rs`]: root, ...Object.fromEntries(files) };
}

test('four files in a circle may be, five may not, and only where the bar stands', () => {
  const program = { 'node/src/main.rs': 'fn main() {}\n', 'node/Cargo.toml': '[package]\nname = "quire"\n[dependencies]\nquire-ledger.workspace = true\nquire-gateway.workspace = true\n' };
  const over = (files) => withWorkspace({ ...files, ...program }, (root) => survey(root).over);
  assert.deepEqual(over({ ...ring('ledger', 4), ...ring('gateway', 9) }), []);
  assert.deepEqual(over(ring('ledger', 5)), ['ledger: 5 files import each other in a circle, and 4 may']);
});

test('crates that depend on each other are told, tests aside', () => {
  const manifest = (name, kind, other) => `[package]\nname = "quire-${name}"\n[${kind}]\nquire-${other} = { path = "../${other}" }\n`;
  const files = (kind) => ({
    'ledger/src/lib.rs': '',
    'ledger/Cargo.toml': manifest('ledger', kind, 'wire'),
    'wire/src/lib.rs': '',
    'wire/Cargo.toml': manifest('wire', 'dependencies', 'ledger'),
    'node/src/main.rs': 'fn main() {}\n',
    'node/Cargo.toml': manifest('node', 'dependencies', 'wire'),
  });
  assert.deepEqual(withWorkspace(files('dev-dependencies'), (root) => survey(root).over), []);
  assert.deepEqual(withWorkspace(files('dependencies'), (root) => survey(root).over), ['crates depend on each other in a circle: ledger wire']);
});

test('long files are told, and crates of tests are not measured', () => {
  const lines = (count) => '//\n'.repeat(count);
  const files = {
    'node/src/main.rs': lines(501),
    'node/Cargo.toml': '[package]\nname = "quire"\n[dev-dependencies]\nquire-testkit.workspace = true\n',
    'testkit/src/lib.rs': lines(9000),
  };
  const told = ['a file has 501 lines in the middle, and 180 is the bar', 'node/src/main.rs has 501 lines, and 500 is the bar'];
  assert.deepEqual(withWorkspace(files, (root) => survey(root).over), told);
  files['node/src/main.rs'] = `mod a;\nmod b;\n${lines(498)}`;
  files['node/src/a.rs'] = lines(180);
  files['node/src/b.rs'] = lines(180);
  assert.deepEqual(withWorkspace(files, (root) => survey(root).over), []);
});

test('a module without a file is named', () => {
  const files = { 'node/src/main.rs': 'mod lost;\n' };
  withWorkspace(files, (root) => {
    assert.throws(() => survey(root), /node\/src\/main\.rs: no file for mod lost/u);
  });
});
