#!/usr/bin/env node
// Are the rooms small, and do their doors open one way? This prints the import circles between the files of
// each crate and between crates, and how long the files are. Exit code 1 says that a bar is not met, and 2
// that a file is missing.
//
//   node scripts/rooms.mjs [FOLDER OF A WORKSPACE]
//
// A file imports another file if one of its paths leads to something that the other file defines. A path is
// followed through modules and re-exports to that file: `crate::Ledger` is ledger.rs and not lib.rs. A
// re-export by itself imports nothing. Code that is compiled only for tests does not count, nor do crates on
// which only tests depend.

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { circles } from './rooms/circles.mjs';
import { crates } from './rooms/workspace.mjs';

export const BARS = {
  /** Files in one circle, in these crates. */
  circle: 4,
  crates: ['ledger', 'peer', 'ordering'],
  /** Lines of a file. */
  median: 180,
  longest: 500,
};

/** What there is to say of a workspace, and what of it is over a bar. */
export function survey(root) {
  const said = [];
  const over = [];
  const all = crates(root);
  for (const crate of all) {
    const imports = crate.imports();
    const found = circles(imports);
    said.push(`${crate.folder}: ${imports.size} files, ${found.length === 0 ? 'no circle' : `circles of ${found.map((circle) => circle.length).join(', ')}`}`);
    for (const circle of found.filter((circle) => circle.length > BARS.circle)) {
      said.push(...circle.map((file) => `    ${file} imports ${[...imports.get(file)].filter((to) => circle.includes(to)).sort().map(short(crate)).join(' ')}`));
      if (BARS.crates.includes(crate.folder)) over.push(`${crate.folder}: ${circle.length} files import each other in a circle, and ${BARS.circle} may`);
    }
  }
  const between = circles(new Map(all.map((crate) => [crate.folder, crate.dependencies])));
  said.push(between.length === 0 ? 'between crates: no circle' : `between crates: ${between.map((circle) => circle.join(' ')).join('; ')}`);
  over.push(...between.map((circle) => `crates depend on each other in a circle: ${circle.join(' ')}`));

  const lines = all.flatMap((crate) => [...crate.lines()]).sort((a, b) => a[1] - b[1]);
  const median = lines[Math.floor((lines.length - 1) / 2)][1];
  const [longest, most] = lines.at(-1);
  said.push(`lines of a file: ${median} in the middle, ${most} at most (${longest}), in ${lines.length} files`);
  if (median > BARS.median) over.push(`a file has ${median} lines in the middle, and ${BARS.median} is the bar`);
  over.push(...lines.filter(([, count]) => count > BARS.longest).map(([file, count]) => `${file} has ${count} lines, and ${BARS.longest} is the bar`));
  return { said, over };
}

/** A file's path below the source folder of its crate. */
function short(crate) {
  return (file) => file.replace(`${crate.folder}/src/`, '');
}

function main() {
  const { said, over } = survey(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)));
  console.log(said.join('\n'));
  if (over.length === 0) return 0;
  console.log(`\nOver the bars:\n${over.map((line) => `  ${line}`).join('\n')}`);
  return 1;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
}
