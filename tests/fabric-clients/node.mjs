// A node of a test's own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export class Node {
  constructor(binary, ...args) {
    this.binary = binary;
    this.args = args;
    this.work = mkdtempSync(path.join(os.tmpdir(), 'quire-fabric-clients-'));
    this.data = path.join(this.work, 'data');
    this.starts = 0;
  }

  /** Starts it, and waits until it says where it is. */
  async start() {
    this.starts += 1;
    this.log = path.join(this.work, `node-${this.starts}.log`);
    const output = openSync(this.log, 'w');
    const at = ['--listen', '127.0.0.1:0', '--grpc-listen', '127.0.0.1:0'];
    this.child = spawn(this.binary, ['run', '--data', this.data, ...at, ...this.args], {
      stdio: ['ignore', output, output],
    });
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    for (let waited = 0; waited < 600; waited++) {
      const text = readFileSync(this.log, 'utf8');
      assert.equal(this.child.exitCode, null, text);
      this.url = text.match(/Quire \S+ is listening on (https?:\/\/127\.0\.0\.1:\d+)/)?.[1];
      this.grpc = text.match(/Fabric's clients are served on grpcs?:\/\/(127\.0\.0\.1:\d+)/)?.[1];
      if (this.url && this.grpc) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`the node does not start: ${readFileSync(this.log, 'utf8')}`);
  }

  async stop(signal) {
    this.child.kill(signal);
    await this.ended;
  }
}
