#!/usr/bin/env node
// Decodes and verifies every block of a channel with Hyperledger Fabric's own message definitions.

import { parseArgs } from 'node:util';
import { blockfileFolder, blocksInFolder, blocksOverHttp } from './blocks.mjs';
import { Chain } from './chain.mjs';
import { CHECKS, Judge, Violation } from './checks.mjs';

const USAGE = `usage: node main.mjs (--url http://127.0.0.1:7080 | --blockfiles DIR) [--channel main]
                     [--allow CHECK,CHECK...] [--verbose]

Checks, any of which --allow turns from an end into a count:
${Object.entries(CHECKS).map(([name, what]) => `  ${name.padEnd(22)} ${what}`).join('\n')}`;

async function main() {
  const { values: options } = parseArgs({
    options: {
      url: { type: 'string' },
      blockfiles: { type: 'string' },
      channel: { type: 'string', default: 'main' },
      allow: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (options.help || Boolean(options.url) === Boolean(options.blockfiles)) {
    console.log(USAGE);
    return options.help ? 0 : 2;
  }
  const judge = new Judge(options.allow.split(',').filter(Boolean));
  const chain = new Chain(judge);
  const blocks = options.url
    ? blocksOverHttp(judge, options.url, options.channel)
    : blocksInFolder(blockfileFolder(options.blockfiles, options.channel));
  for await (const block of blocks) {
    const line = chain.add(block);
    if (options.verbose) console.log(line);
  }
  if (chain.next === 0) throw new Error('no block at all');
  if (options.verbose) for (const line of judge.report()) console.log(line);
  const codes = [...chain.codes].map(([code, count]) => `${count} ${code}`).join(', ');
  const held = [...judge.held.values()].reduce((sum, count) => sum + count, 0);
  const allowed = [...judge.violated].map(([check, { count }]) => `${count} ${check}`).join(', ');
  console.log(`channel ${chain.channel}: ${chain.next} blocks, ${chain.transactions} transactions (${codes}), `
    + `${held} checks held${allowed ? `, failed but allowed: ${allowed}` : ', none failed'}`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Violation ? error.message : `${error.message}${error.cause ? `: ${error.cause.message}` : ''}`);
  process.exitCode = 1;
}
