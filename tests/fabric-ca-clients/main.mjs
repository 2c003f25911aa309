#!/usr/bin/env node
// The CA of a node, by fabric-ca-client and fabric-common as Fabric publishes them: over plain HTTP and over
// TLS, through a kill, and on to what enrolling is for: a client certificate that the node takes, for the same
// creator whatever the certificate, until it is revoked.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { X509Certificate } from 'node:crypto';
import { parseArgs } from 'node:util';
import FabricCAServices from 'fabric-ca-client';
import { User } from 'fabric-common';

const { values: options } = parseArgs({ options: { quire: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

const work = mkdtempSync(path.join(os.tmpdir(), 'quire-ca-'));
const data = path.join(work, 'data');
const authority = path.join(data, 'organization/ca/ca-cert.pem');
const MSP_ID = 'QuireMSP';

let node;
let starts = 0;
async function start(...tls) {
  starts += 1;
  const log = path.join(work, `node-${starts}.log`);
  const output = openSync(log, 'w');
  const args = ['run', '--data', data, '--listen', '127.0.0.1:0', '--ca-listen', '127.0.0.1:0', '--ca-name', 'ca-org1', ...tls];
  const child = spawn(options.quire, args, {
    env: { ...process.env, QUIRE_CA_ADMIN: 'admin:adminpw' },
    stdio: ['ignore', output, output],
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  for (let waited = 0; waited < 600 && child.exitCode === null; waited++) {
    const text = readFileSync(log, 'utf8');
    const api = text.match(/Quire \S+ is listening on (https?:\/\/127\.0\.0\.1:\d+)/)?.[1];
    const ca = text.match(/CA ca-org1 is listening on (https?:\/\/127\.0\.0\.1:\d+)/)?.[1];
    if (api && ca) {
      node = { child, ended, api, ca };
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the node did not start\n${readFileSync(log, 'utf8')}`);
}

async function stop(signal) {
  node.child.kill(signal);
  await node.ended;
}

function quire(...args) {
  const done = spawnSync(options.quire, [...args, '--data', data], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout;
}

/** A client of the CA that the node serves now. */
function services() {
  const trusted = { trustedRoots: existsSync(authority) ? [readFileSync(authority)] : [], verify: true };
  return new FabricCAServices(node.ca, trusted, 'ca-org1');
}

async function userOf(name, enrollment) {
  const user = new User(name);
  await user.setEnrollment(enrollment.key, enrollment.certificate, MSP_ID);
  return user;
}

/** The codes with which the CA refuses. */
async function refused(promise, ...codes) {
  const error = await promise.then(
    () => assert.fail('it was not refused'),
    (error) => error,
  );
  assert.equal(error.success, false, error.stack);
  assert.deepEqual(error.errors.map((one) => one.code), codes);
}

function pemFiles(name, enrollment) {
  const files = { cert: path.join(work, `${name}.pem`), key: path.join(work, `${name}.key`) };
  writeFileSync(files.cert, enrollment.certificate);
  writeFileSync(files.key, enrollment.key.toBytes());
  return files;
}

const idOf = (certificate) => {
  const { serialNumber } = new X509Certificate(certificate);
  return serialNumber.toLowerCase().replace(/^0+/, '');
};

// ---- Over plain HTTP.

async function plain() {
  await start();
  let ca = services();
  const first = await ca.enroll({ enrollmentID: 'admin', enrollmentSecret: 'adminpw' });
  assert.equal(first.rootCertificate, readFileSync(authority, 'utf8'));
  const admin = await userOf('admin', first);
  const info = await ca.getCaInfo(admin);
  assert.equal(info.caName, 'ca-org1');
  assert.equal(info.caChain, first.rootCertificate);
  await refused(ca.enroll({ enrollmentID: 'admin', enrollmentSecret: 'wrong' }), 20);
  await refused(ca.enroll({ enrollmentID: 'nobody', enrollmentSecret: 'wrong' }), 20);

  const affiliations = ca.newAffiliationService();
  assert.equal((await affiliations.getOne('org1', admin)).result.affiliations.length, 2);
  await affiliations.create({ name: 'shops.north', force: true }, admin);
  await affiliations.update('shops', { name: 'stores', force: true }, admin);
  const all = (await affiliations.getAll(admin)).result;
  assert.deepEqual(all.affiliations.map((one) => one.name), ['org1', 'org2', 'stores']);
  await refused(affiliations.create({ name: 'a.b' }, admin), 60);

  const identities = ca.newIdentityService();
  const secret = await identities.create(
    { enrollmentID: 'bob', affiliation: 'stores.north', type: 'client', attrs: [{ name: 'till', value: '7', ecert: true }] },
    admin,
  );
  const bob = await userOf('bob', await ca.enroll({ enrollmentID: 'bob', enrollmentSecret: secret }));
  const subject = new X509Certificate(bob.getIdentity()._certificate).subject.split(/[\n+]/).map((part) => part.trim());
  for (const part of ['OU=client', 'OU=stores', 'OU=north', 'CN=bob']) assert.ok(subject.includes(part), subject);
  await refused(ca.enroll({ enrollmentID: 'bob', enrollmentSecret: secret }), 20); // maxEnrollments is 1
  await refused(identities.getAll(bob), 71);
  await refused(ca.register({ enrollmentID: 'eve', affiliation: 'stores' }, bob), 71);
  const told = (await identities.getOne('bob', admin)).result;
  assert.equal(told.affiliation, 'stores.north');
  assert.ok(told.attrs.some((one) => one.name === 'till' && one.value === '7'));
  const changed = await identities.update('bob', { affiliation: 'org1', attrs: [{ name: 'till', value: '8' }] }, admin);
  assert.equal(changed.result.affiliation, 'org1');
  await affiliations.delete({ name: 'stores', force: true }, admin);
  await identities.delete('bob', admin);
  await refused(identities.getOne('bob', admin), 63);
  await refused(identities.getAll(bob), 20);
  assert.deepEqual((await identities.getAll(admin)).result.identities.map((one) => one.id), ['admin']);

  // The certificate that the node will serve TLS with.
  const name = await ca.register({ enrollmentID: 'server', role: 'peer', affiliation: 'org1' }, admin);
  const key = await ca.getCryptoSuite().generateKey();
  const csr = key.generateCSR('CN=server', [{ subjectAltName: { array: [{ ip: '127.0.0.1' }] } }]);
  const server = await ca.enroll({ enrollmentID: 'server', enrollmentSecret: name, profile: 'tls', csr });
  assert.match(new X509Certificate(server.certificate).subjectAltName, /127\.0\.0\.1/);
  const files = pemFiles('server', { ...server, key });
  await stop('SIGKILL');
  return { admin, tls: ['--tls-cert', files.cert, '--tls-key', files.key, '--tls-client-ca', authority] };
}

// ---- Over TLS, and submitting.

/** A request to the node with a client certificate. */
function ask(method, target, who, body, agent) {
  return new Promise((resolve, reject) => {
    const request = https.request(
      node.api + target,
      { method, ca: readFileSync(authority), cert: who.certificate, key: who.key.toBytes(), agent, headers: { 'Content-Type': 'application/json' } },
      (response) => {
        let text = '';
        response.on('data', (part) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
      },
    );
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}

async function creatorOf(who, agent) {
  const written = await ask('PUT', `/v1/channels/main/state/orders/${Date.now()}`, who, { total: 1 }, agent);
  assert.equal(written.status, 201, JSON.stringify(written.body));
  const read = await ask('GET', `/v1/channels/main/transactions/${written.body.transactionId}`, who);
  assert.equal(read.status, 200, JSON.stringify(read.body));
  return read.body.creator;
}

async function submitting(ca, admin) {
  const secret = await ca.register({ enrollmentID: 'alice', affiliation: 'org1.department1', maxEnrollments: -1 }, admin);
  const first = await ca.enroll({ enrollmentID: 'alice', enrollmentSecret: secret });
  const before = await ask('PUT', '/v1/channels/main/state/orders/1', first, { total: 1 });
  assert.equal(before.status, 403, 'a certificate alone gives no right');
  quire('token', 'create', '--identity', 'alice', '--role', 'writer', '--client-certificate');

  // The connection lives through all that follows.
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const creator = await creatorOf(first, agent);
  const alice = await userOf('alice', first);
  const second = await ca.reenroll(alice, [{ name: 'hf.EnrollmentID' }]);
  assert.notEqual(idOf(second.certificate), idOf(first.certificate));
  assert.deepEqual(await creatorOf(second), creator, 'another certificate is no other creator');

  const certificates = ca.newCertificateService();
  const count = async (request) => (await certificates.getCertificates(request, admin)).result.certs.length;
  assert.equal(await count({ id: 'alice' }), 2);
  const serial = idOf(first.certificate);
  const found = (await certificates.getCertificates({ serial }, admin)).result.certs;
  assert.deepEqual(found, [{ PEM: first.certificate }]);
  const aki = keyId(first.rootCertificate);
  const revoked = await ca.revoke({ enrollmentID: '', aki, serial, reason: 'keycompromise', gencrl: true }, admin);
  assert.deepEqual(revoked.result.RevokedCerts, [{ Serial: serial, AKI: aki }]);
  assert.equal(await count({ id: 'alice', notrevoked: true }), 1);
  for (const refusedOn of [agent, undefined]) {
    const answer = await ask('GET', '/v1/channels/main/state/orders/1', first, undefined, refusedOn);
    assert.equal(answer.status, 401, 'a revoked certificate is refused, on an open connection too');
  }
  agent.destroy();
  assert.deepEqual(await creatorOf(second), creator);

  await refused(ca.revoke({ enrollmentID: 'admin' }, await userOf('alice', second)), 71);
  const whole = await ca.revoke({ enrollmentID: 'alice' }, admin);
  assert.equal(whole.result.RevokedCerts.length, 1);
  await refused(ca.enroll({ enrollmentID: 'alice', enrollmentSecret: secret }), 20);
  await refused(ca.reenroll(await userOf('alice', second)), 20);
  return [first, second];
}

/** What the CA calls its key, in hex as the CA tells it. */
function keyId(certificate) {
  const text = spawnSync('openssl', ['x509', '-noout', '-ext', 'subjectKeyIdentifier'], { input: certificate, encoding: 'utf8' });
  const digits = text.stdout.match(/([0-9A-F]{2}:){19}[0-9A-F]{2}/)[0];
  return digits.replaceAll(':', '').toLowerCase().replace(/^0+/, '');
}

/** The numbers on a list, which the CA must have signed, as openssl reads it. */
function numbersOn(list) {
  const read = spawnSync('openssl', ['crl', '-noout', '-text', '-CAfile', authority], { input: list, encoding: 'utf8' });
  assert.match(read.stderr + read.stdout, /verify OK/);
  assert.match(read.stdout, /X509v3 Authority Key Identifier/);
  return [...read.stdout.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, digits]) => digits.toLowerCase().replace(/^0+/, '')).sort();
}

try {
  const { admin, tls } = await plain();
  await start(...tls);
  let ca = services();
  assert.match(node.ca, /^https:/);
  const alice = await submitting(ca, admin);
  await stop('SIGKILL');

  // What was answered is there after a kill, in every way of asking.
  await start(...tls);
  ca = services();
  for (const one of alice) {
    const answer = await ask('GET', '/v1/channels/main/state/orders/1', one);
    assert.equal(answer.status, 401);
  }
  const list = Buffer.from(await ca.generateCRL({}, admin), 'base64').toString();
  const expected = alice.map((one) => idOf(one.certificate));
  for (const text of [list, quire('ca', 'crl')]) {
    const numbers = numbersOn(text);
    for (const number of expected) assert.ok(numbers.includes(number), `${number} of ${numbers}`);
  }
  const later = new Date(Date.now() + 3600_000);
  const none = Buffer.from(await ca.generateCRL({ revokedAfter: later }, admin), 'base64').toString();
  assert.deepEqual(numbersOn(none), []);
  const again = await ca.reenroll(admin);
  assert.equal(idOf(again.certificate).length, 40);
  await stop('SIGTERM');
  // Without the CA's address the node refuses what it revoked all the same; a check looks at its registry.
  quire('check');
  console.log('enrolled, registered, submitted, revoked: as it should be');
} catch (error) {
  for (let n = 1; n <= starts; n++) console.error(readFileSync(path.join(work, `node-${n}.log`), 'utf8').slice(-4000));
  throw error;
} finally {
  node?.child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
}
