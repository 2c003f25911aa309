// Network namespaces of the test's own, each with a machine's address, all on one bridge: cables that can be pulled.

import { execFileSync } from 'node:child_process';

const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });

/** Machines; this process is in a namespace of its own already, and is the bridge. */
export class Places {
  constructor() {
    this.names = [];
    ip('link', 'set', 'lo', 'up');
    ip('link', 'add', 'bridge', 'type', 'bridge');
    ip('addr', 'add', '10.77.0.254/24', 'dev', 'bridge');
    ip('link', 'set', 'bridge', 'up');
  }

  /** A machine: its address, and how to run something on it. */
  add() {
    const place = this.names.length + 1;
    const name = `quire-${process.pid}-${place}`;
    const cable = `cable${place}`;
    ip('netns', 'add', name);
    this.names.push(name);
    ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    ip('link', 'set', cable, 'master', 'bridge', 'up');
    const inside = (...args) => ip('-n', name, ...args);
    inside('link', 'set', 'lo', 'up');
    inside('addr', 'add', `10.77.0.${place}/24`, 'dev', 'eth0');
    inside('link', 'set', 'eth0', 'up');
    return {
      host: `10.77.0.${place}`,
      within: ['ip', 'netns', 'exec', name],
      unplug: () => ip('link', 'set', cable, 'down'),
      plug: () => ip('link', 'set', cable, 'up'),
    };
  }

  remove() {
    for (const name of this.names) ip('netns', 'del', name);
  }
}

/** This process, on the machine that all are. */
export const here = { host: '127.0.0.1', within: [], unplug() {}, plug() {} };
