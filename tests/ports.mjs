// Loopback ports for services that tests start.

import net from 'node:net';

/**
 * The ports from which the kernel takes none for outgoing connections (Linux: 32768 to 60999 are those). A service
 * that is stopped and started at its port again would otherwise find it taken, now and then, by a connection of
 * somebody else, or by a client that reached itself while it tried to reach the service.
 */
const FIRST = 10_000;
const LAST = 32_767;

const isFree = (port) =>
  new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** A port of 127.0.0.1 that nobody has now. */
export async function freePort() {
  for (let tries = 0; tries < 1000; tries += 1) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (await isFree(port)) return port;
  }
  throw new Error(`none of 1000 ports between ${FIRST} and ${LAST} is free`);
}
