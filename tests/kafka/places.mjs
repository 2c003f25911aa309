// Machines of the test's own: network namespaces, each with an address, all on one bridge, so that cables can be pulled;
// disks that can be full; clocks that can be put forward and back.

import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';

const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });
const DISK = '256m';

/** Where Debian's libfaketime is, which lets a process see another time; none where it is not installed. */
const library = ['x86_64', 'aarch64']
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`)
  .find(existsSync);

/** A file system of its own, in memory, that can be full. */
function disk(folder) {
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK},mode=0700`, 'quire-test', folder], { stdio: 'pipe' });
  const ballast = path.join(folder, 'ballast');
  return {
    folder,
    fill() {
      const file = openSync(ballast, 'w');
      try {
        for (let bytes = Buffer.alloc(1 << 20); ; ) {
          const written = writeSync(file, bytes);
          if (written < bytes.length) bytes = bytes.subarray(0, 4096);
        }
      } catch (error) {
        if (error.code !== 'ENOSPC') throw error;
      } finally {
        closeSync(file);
      }
    },
    empty: () => rmSync(ballast),
    remove: () => execFileSync('umount', ['--lazy', folder], { stdio: 'pipe' }),
  };
}

/** A clock that can be put forward and back, with what makes a process go by it; none without the library. */
function clock(file) {
  if (library === undefined) return undefined;
  const put = (seconds) => writeFileSync(file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}`);
  put(0);
  return {
    put,
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  };
}

/** Machines; this process is in namespaces of its own already, of network and of mounts, and is the bridge. */
export class Places {
  constructor(work) {
    this.work = work;
    this.names = [];
    this.disks = [];
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
    const own = disk(path.join(this.work, `disk-${place}`));
    this.disks.push(own);
    return {
      disk: own,
      clock: clock(path.join(this.work, `clock-${place}`)),
      host: `10.77.0.${place}`,
      within: ['ip', 'netns', 'exec', name],
      unplug: () => ip('link', 'set', cable, 'down'),
      plug: () => ip('link', 'set', cable, 'up'),
    };
  }

  remove() {
    for (const name of this.names) ip('netns', 'del', name);
    for (const disk of this.disks) disk.remove();
  }
}

/** This process, on the machine that all are. */
export const here = { host: '127.0.0.1', within: [], unplug() {}, plug() {} };
