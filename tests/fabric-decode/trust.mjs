// Identities: which MSPs a channel configuration names, whose certificates they accept, and what
// signatures hold.

import { X509Certificate, verify } from 'node:crypto';
import { equal, hex, msp, read } from './messages.mjs';

const ORDER = {
  prime256v1: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  secp384r1: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
};

/** The MSPs of one configuration. A new configuration makes a new one. */
export class Trust {
  constructor(judge) {
    this.judge = judge;
    this.msps = new Map();
    this.identities = new Map();
  }

  /** Takes in a FabricMSPConfig and parses every certificate in it. */
  add(config) {
    const certificates = (list) => list.map((pem) => this.certificate(pem, `MSP ${config.getName()}`));
    const roots = certificates(config.getRootCertsList_asU8());
    this.judge.that('certificate-chain', roots.length > 0, `MSP ${config.getName()} has no root certificate`);
    certificates(config.getAdminsList_asU8());
    certificates(config.getTlsRootCertsList_asU8());
    certificates(config.getTlsIntermediateCertsList_asU8());
    const ous = config.getFabricNodeOus();
    this.msps.set(config.getName(), {
      roots,
      intermediates: certificates(config.getIntermediateCertsList_asU8()),
      roles: ous?.getEnable()
        ? [ous.getClientOuIdentifier(), ous.getPeerOuIdentifier(), ous.getAdminOuIdentifier(), ous.getOrdererOuIdentifier()]
          .filter(Boolean).map((ou) => ou.getOrganizationalUnitIdentifier())
        : [],
    });
  }

  certificate(pem, name) {
    try {
      return new X509Certificate(Buffer.from(pem));
    } catch (error) {
      this.judge.that('certificate-chain', false, `${name}: ${error.message}`);
      return undefined;
    }
  }

  /** The identity in a serialized SerializedIdentity, its certificate checked against its MSP. */
  identity(serialized, name) {
    const cached = this.identities.get(hex(serialized));
    if (cached) return cached;
    const message = read(this.judge, msp.SerializedIdentity, serialized, `${name} (SerializedIdentity)`);
    const certificate = this.certificate(message.getIdBytes_asU8(), name);
    const identity = { mspId: message.getMspid(), certificate, key: certificate?.publicKey };
    if (certificate && this.chains(identity, name)) this.identities.set(hex(serialized), identity);
    return identity;
  }

  chains({ mspId, certificate }, name) {
    const organization = this.msps.get(mspId);
    const subject = certificate.subject.replaceAll('\n', ', ');
    if (!this.judge.that('certificate-chain', organization, `${name}: no MSP is named ${mspId}`)) return false;
    if (!this.judge.that('certificate-chain', !certificate.ca, `${name}: ${subject} is a CA`)) return false;
    const issuers = [...organization.intermediates, ...organization.roots].filter(Boolean);
    let at = certificate;
    for (let depth = 0; depth < 10; depth += 1) {
      const issuer = issuers.find((candidate) => candidate.ca && at.checkIssued(candidate) && at.verify(candidate.publicKey));
      if (!this.judge.that('certificate-chain', issuer, `${name}: nobody in MSP ${mspId} issued ${at.subject}`)) return false;
      if (organization.roots.some((root) => root && equal(root.raw, issuer.raw))) break;
      at = issuer;
    }
    const { roles } = organization;
    const units = certificate.subject.split('\n').filter((line) => line.startsWith('OU=')).map((line) => line.slice(3));
    return this.judge.that('certificate-chain', roles.length === 0 || units.filter((unit) => roles.includes(unit)).length === 1,
      `${name}: ${subject} has not exactly one role of ${roles}`);
  }

  /** Judges one signature over the concatenation of `parts`. */
  signed(check, identity, parts, signature, name) {
    if (!identity.key) return this.judge.that(check, false, `${name}: the signer has no certificate`);
    const curve = identity.key.asymmetricKeyDetails?.namedCurve;
    const digest = identity.key.asymmetricKeyType === 'ed25519' ? null : curve === 'secp384r1' ? 'sha384' : 'sha256';
    const holds = verify(digest, Buffer.concat(parts.map((part) => Buffer.from(part))), identity.key, Buffer.from(signature));
    if (!this.judge.that(check, holds, `${name} does not verify with the key of ${identity.certificate.subject.replaceAll('\n', ', ')}`)) return false;
    if (!(curve in ORDER)) return true;
    return this.judge.that('low-s', sOf(signature) <= ORDER[curve] / 2n, `${name} has a high S`);
  }
}

/** S of a DER-encoded SEQUENCE { INTEGER r, INTEGER s }, whose lengths are all below 128. */
function sOf(signature) {
  const r = 2;
  const s = r + 2 + signature[r + 1];
  return BigInt(`0x${hex(signature.slice(s + 2, s + 2 + signature[s + 1]))}`);
}
