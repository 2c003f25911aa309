// What a Rust file declares and which paths it names. It is not a compiler: macros are not expanded.

const TOKEN = new RegExp(
  [
    /\/\/[^\n]*/, // a comment
    /[bc]?r(?<hashes>#*)"[^]*?"\k<hashes>/, // a raw string
    /[bc]?"(?:\\[^]|[^"\\])*"/,
    /b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])'/u, // a character
    /'[A-Za-z_]\w*/, // a lifetime
    /(?:r#)?[A-Za-z_]\w*/,
    /\d[\w.]*/,
    /::|->|=>|[^\s\w]/,
  ]
    .map((part) => part.source)
    .join('|'),
  'gu',
);
const OPEN = { '(': ')', '[': ']', '{': '}' };
const CLOSE = new Set(Object.values(OPEN));
const NAMED = new Set(['fn', 'struct', 'enum', 'union', 'trait', 'type', 'static', 'const', 'macro_rules']);
const isName = (token) => token !== undefined && /^(?:r#)?[A-Za-z_]\w*$/u.test(token);
const isPath = (string) => /^"[A-Za-z_]\w*(?:::[A-Za-z_]\w*)+"$/u.test(string);

/** The tokens of a file, without comments. */
export function tokens(text) {
  const found = [];
  for (const [token] of withoutBlockComments(text).matchAll(TOKEN)) {
    if (!token.startsWith('//')) found.push(token);
  }
  return found;
}

/** `/* … *\/` may stand within another, and is none within a string or behind `//`. */
function withoutBlockComments(text) {
  if (!text.includes('/*')) return text;
  const before = /\/\/[^\n]*|[bc]?r(#*)"[^]*?"\1|[bc]?"(?:\\[^]|[^"\\])*"|\/\*/gu;
  let kept = '';
  let from = 0;
  for (let match; (match = before.exec(text)); ) {
    if (match[0] !== '/*') continue;
    kept += text.slice(from, match.index);
    let depth = 1;
    let at = match.index + 2;
    for (; depth > 0 && at < text.length; at += 1) {
      if (text.startsWith('/*', at)) depth += 1;
      else if (text.startsWith('*/', at)) depth -= 1;
      else continue;
      at += 1;
    }
    kept += ' ';
    from = at;
    before.lastIndex = at;
  }
  return kept + text.slice(from);
}

/** A module: what it declares, and the paths that its code names. */
export class Module {
  constructor(name, file, parent) {
    Object.assign(this, { name, file, parent });
    this.root = parent ? parent.root : this;
    /** Modules below it, by name; those of other files have no content before they are read. */
    this.children = new Map();
    /** Names that it defines. */
    this.items = new Set();
    /** What `use` binds here: a name to a path. */
    this.uses = new Map();
    /** Paths whose names are all bound here. */
    this.globs = [];
    /** Paths that its code names, each a list of names; those of re-exports are left out. */
    this.paths = [];
    /** Single names in its code, which a `use` of everything may have brought. */
    this.names = new Set();
    /** Modules that have a file of their own. */
    this.elsewhere = [];
  }

  child(name, file) {
    const child = new Module(name, file, this);
    this.children.set(name, child);
    return child;
  }
}

/** Reads the tokens of a file, or of a module within one, into `module`. */
export function declare(module, tokens, start = 0, end = tokens.length) {
  let at = start;
  while (at < end) {
    let isTest = false;
    for (; tokens[at] === '#'; at = closing(tokens, at) + 1) {
      if (tokens[at + 1] === '!') at += 1;
      const attribute = tokens.slice(at + 1, closing(tokens, at + 1));
      at += 1;
      isTest ||= tests(attribute);
      module.paths.push(...attribute.filter(isPath).map((path) => path.slice(1, -1).split('::')));
    }
    if (at >= end) return;
    const isPublic = tokens[at] === 'pub';
    if (isPublic) at = tokens[at + 1] === '(' ? closing(tokens, at + 1) + 1 : at + 1;
    const stop = itemEnd(tokens, at, end);
    if (!isTest) item(module, tokens, at, stop, isPublic);
    at = stop;
  }
}

/** Whether an attribute leaves its item to tests. */
function tests(attribute) {
  return attribute[1] === 'cfg' && (attribute[3] === 'test' || (attribute[3] === 'all' && attribute.includes('test')));
}

function item(module, tokens, at, stop, isPublic) {
  if (tokens[at] === 'use') {
    use(module, tokens, at + 1, stop, isPublic);
  } else if (tokens[at] === 'mod') {
    const child = module.child(tokens[at + 1], module.file);
    if (tokens[at + 2] === ';') module.elsewhere.push(child);
    else declare(child, tokens, at + 3, stop - 1);
  } else {
    const word = defines(tokens, at, stop);
    const name = word === undefined ? undefined : tokens[word + (tokens[word] === 'macro_rules' ? 2 : 1)];
    if (isName(name) && name !== '_') module.items.add(name);
    code(module, tokens, at, stop);
  }
}

/** Where the word is that says what an item defines. */
function defines(tokens, at, stop) {
  for (let word = at; word < stop; word += 1) {
    if (!isName(tokens[word]) && !tokens[word].startsWith('"')) return undefined;
    if (tokens[word] === 'impl') return undefined;
    if (tokens[word] === 'const' && ['fn', 'unsafe', 'async', 'extern'].includes(tokens[word + 1])) continue;
    if (tokens[word] === 'unsafe' || tokens[word] === 'async' || tokens[word] === 'extern') continue;
    if (NAMED.has(tokens[word])) return word;
  }
  return undefined;
}

/** Behind the item that begins at `at`: its `;`, or the `}` of its first braces unless it has a value. */
function itemEnd(tokens, at, end) {
  const hasValue = ['use', 'type', 'static', 'let'].includes(tokens[at]) || (tokens[at] === 'const' && tokens[at + 2] === ':');
  for (; at < end; at += 1) {
    if (tokens[at] === ';') return at + 1;
    if (!OPEN[tokens[at]]) continue;
    const isBody = tokens[at] === '{' && !hasValue;
    at = closing(tokens, at);
    if (isBody) return at + 1;
  }
  return end;
}

/** Where the bracket closes that opens at `at` or next. */
function closing(tokens, at) {
  let depth = 0;
  for (; at < tokens.length; at += 1) {
    if (OPEN[tokens[at]]) depth += 1;
    else if (CLOSE.has(tokens[at])) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return tokens.length;
}

/** Binds what `use` names; `tokens[at]` is behind the word. */
function use(module, tokens, at, stop, isPublic) {
  const tree = (at, prefix) => {
    const path = [...prefix];
    for (; ; at += 2) {
      if (tokens[at] === '::') at += 1; // The path starts at the crates' root.
      if (tokens[at] === '{') {
        at += 1;
        while (tokens[at] !== '}' && at < stop) {
          at = tree(at, path);
          if (tokens[at] === ',') at += 1;
        }
        return at + 1;
      }
      if (tokens[at] === '*') {
        module.globs.push(path);
        return at + 1;
      }
      if (tokens[at] === '$') at += 1; // `$crate`
      if (!(tokens[at] === 'self' && path.length > 0)) path.push(tokens[at]);
      if (tokens[at + 1] !== '::') break;
    }
    let name = path.at(-1);
    at += 1;
    if (tokens[at] === 'as') {
      name = tokens[at + 1];
      at += 2;
    }
    // A path of one name binds only what is known already.
    if (name !== '_' && path.length > 1) module.uses.set(name, path);
    if (!isPublic) module.paths.push(path);
    return at;
  };
  tree(at, []);
}

/** Collects the paths within an item. */
function code(module, tokens, at, stop) {
  for (; at < stop; at += 1) {
    if (tokens[at] === '#' && tokens[at + 1] === '[') {
      const end = closing(tokens, at + 1);
      if (tests(tokens.slice(at + 1, end))) at = innerEnd(tokens, end + 1, stop) - 1;
    } else if (tokens[at] === 'use' && isName(tokens[at + 1])) {
      const end = itemEnd(tokens, at, stop);
      use(module, tokens, at + 1, end, false);
      at = end - 1;
    } else if (isPath(tokens[at]) && tokens[at - 1] === '=') {
      module.paths.push(tokens[at].slice(1, -1).split('::')); // `with = "crate::json"`
    } else if (isName(tokens[at]) && tokens[at - 1] !== '.' && tokens[at - 1] !== '::') {
      const path = [tokens[at]];
      while (tokens[at + 1] === '::' && isName(tokens[at + 2])) {
        path.push(tokens[at + 2]);
        at += 2;
      }
      if (path.length > 1) module.paths.push(path);
      module.names.add(path[0]);
    }
  }
}

/** Behind what an attribute within an item stands before: a field, a statement, a function. */
function innerEnd(tokens, at, stop) {
  for (; at < stop; at += 1) {
    if (tokens[at] === ';' || tokens[at] === ',') return at + 1;
    if (CLOSE.has(tokens[at])) return at;
    if (!OPEN[tokens[at]]) continue;
    const isBody = tokens[at] === '{';
    at = closing(tokens, at);
    if (isBody) return at + 1;
  }
  return stop;
}
