// A channel configuration, read to its leaves.

import { common, entries, msp, orderer, peer, read } from './messages.mjs';

const VALUES = {
  HashingAlgorithm: common.HashingAlgorithm,
  BlockDataHashingStructure: common.BlockDataHashingStructure,
  OrdererAddresses: common.OrdererAddresses,
  Endpoints: common.OrdererAddresses,
  Consortium: common.Consortium,
  Capabilities: common.Capabilities,
  Orderers: common.Orderers,
  ConsensusType: orderer.ConsensusType,
  BatchSize: orderer.BatchSize,
  BatchTimeout: orderer.BatchTimeout,
  KafkaBrokers: orderer.KafkaBrokers,
  ChannelRestrictions: orderer.ChannelRestrictions,
  ChannelCreationPolicy: common.Policy,
  ACLs: peer.ACLs,
  AnchorPeers: peer.AnchorPeers,
  MSP: msp.MSPConfig,
};
const CONSENTERS = { etcdraft: orderer.etcdraft?.ConfigMetadata, BFT: orderer.smartbft?.Options };
const { Classification } = msp.MSPPrincipal;
const PRINCIPALS = {
  [Classification.ROLE]: msp.MSPRole,
  [Classification.ORGANIZATION_UNIT]: msp.OrganizationUnit,
  [Classification.IDENTITY]: msp.SerializedIdentity,
  [Classification.ANONYMITY]: msp.MSPIdentityAnonymity,
  [Classification.COMBINED]: msp.CombinedPrincipal,
};

/** Reads the data of a CONFIG payload; tells MSPs to `trust`. Returns the paths of what it read. */
export function readConfig(judge, bytes, trust) {
  const envelope = read(judge, common.ConfigEnvelope, bytes, 'ConfigEnvelope');
  const root = envelope.getConfig()?.getChannelGroup();
  const paths = [];
  if (judge.that('decode', root, 'the configuration has no channel group')) {
    readGroup(judge, root, '/Channel', trust, paths);
  }
  const update = envelope.getLastUpdate();
  if (update) readUpdate(judge, update, paths);
  return paths;
}

/** What Fabric's peers and orderers insist on in the configuration of a channel. */
export function requireChannel(judge, paths) {
  const has = (pattern) => paths.some((path) => pattern.test(path));
  for (const pattern of [
    /^\/Channel\/HashingAlgorithm$/,
    /^\/Channel\/BlockDataHashingStructure$/,
    /^\/Channel\/Capabilities$/,
    /^\/Channel\/Orderer\/ConsensusType$/,
    /^\/Channel\/Orderer\/BatchSize$/,
    /^\/Channel\/Orderer\/BatchTimeout$/,
    /^\/Channel\/Orderer\/Capabilities$/,
    /^\/Channel\/Orderer\/[^/]+\/MSP$/,
    /^\/Channel\/Application\/Capabilities$/,
    /^\/Channel\/Application\/[^/]+\/MSP$/,
    ...['', 'Orderer/', 'Application/'].flatMap((group) =>
      ['Readers', 'Writers', 'Admins'].map((policy) => new RegExp(`^/Channel/${group}policy:${policy}$`))),
    /^\/Channel\/Orderer\/policy:BlockValidation$/,
  ]) {
    judge.that('decode', has(pattern), `the channel's configuration has nothing like ${pattern.source}`);
  }
}

function readGroup(judge, group, path, trust, paths) {
  for (const [name, value] of entries(group.getValuesMap())) {
    readValue(judge, name, value.getValue_asU8(), `${path}/${name}`, trust);
    paths.push(`${path}/${name}`);
  }
  for (const [name, policy] of entries(group.getPoliciesMap())) {
    readPolicy(judge, policy.getPolicy(), `${path}/policy:${name}`);
    paths.push(`${path}/policy:${name}`);
  }
  for (const [name, child] of entries(group.getGroupsMap())) readGroup(judge, child, `${path}/${name}`, trust, paths);
}

function readValue(judge, name, bytes, path, trust) {
  const Type = VALUES[name];
  if (!judge.that('decode', Type, `Fabric knows no configuration value ${path}`)) return;
  const value = read(judge, Type, bytes, path);
  if (name === 'MSP') readMsp(judge, value, path, trust);
  if (name === 'ChannelCreationPolicy') readPolicy(judge, value, path);
  if (name === 'Orderers') {
    for (const consenter of value.getConsenterMappingList()) {
      judge.that('decode', consenter.getMspId() !== '', `${path}: a consenter without an MSP`);
    }
  }
  if (name === 'ConsensusType' && value.getMetadata_asU8().length > 0) {
    const Metadata = CONSENTERS[value.getType()];
    if (judge.that('decode', Metadata, `${path}: metadata of the unknown consensus ${value.getType()}`)) {
      read(judge, Metadata, value.getMetadata_asU8(), `${path} metadata`);
    }
  }
}

function readMsp(judge, config, path, trust) {
  if (!judge.that('decode', config.getType() === 0, `${path}: MSP of type ${config.getType()}`)) return;
  const fabric = read(judge, msp.FabricMSPConfig, config.getConfig_asU8(), `${path} (FabricMSPConfig)`);
  trust?.add(fabric);
}

function readPolicy(judge, policy, path) {
  const types = common.Policy.PolicyType;
  if (!judge.that('decode', policy, `${path} is empty`)) return;
  if (policy.getType() === types.IMPLICIT_META) {
    const meta = read(judge, common.ImplicitMetaPolicy, policy.getValue_asU8(), path);
    judge.that('decode', meta.getSubPolicy() !== '', `${path} names no sub-policy`);
  } else if (judge.that('decode', policy.getType() === types.SIGNATURE, `${path}: policy type ${policy.getType()}`)) {
    const envelope = read(judge, common.SignaturePolicyEnvelope, policy.getValue_asU8(), path);
    const principals = envelope.getIdentitiesList();
    for (const principal of principals) readPrincipal(judge, principal, path);
    requireRule(judge, envelope.getRule(), principals.length, path);
  }
}

function requireRule(judge, rule, principals, path) {
  const kinds = common.SignaturePolicy.TypeCase;
  const kind = rule?.getTypeCase() ?? kinds.TYPE_NOT_SET;
  if (kind === kinds.SIGNED_BY) {
    judge.that('decode', rule.getSignedBy() >= 0 && rule.getSignedBy() < principals, `${path} points at no principal`);
  } else if (judge.that('decode', kind === kinds.N_OUT_OF, `${path} has an empty rule`)) {
    for (const inner of rule.getNOutOf().getRulesList()) requireRule(judge, inner, principals, path);
  }
}

function readPrincipal(judge, principal, path) {
  const Type = PRINCIPALS[principal.getPrincipalClassification()];
  if (!judge.that('decode', Type, `${path}: principal of class ${principal.getPrincipalClassification()}`)) return;
  const inner = read(judge, Type, principal.getPrincipal_asU8(), `${path} principal`);
  if (Type === msp.CombinedPrincipal) {
    for (const part of inner.getPrincipalsList()) readPrincipal(judge, part, path);
  }
}

function readUpdate(judge, envelope, paths) {
  const payload = read(judge, common.Payload, envelope.getPayload_asU8(), 'last_update Payload');
  read(judge, common.ChannelHeader, payload.getHeader().getChannelHeader_asU8(), 'last_update ChannelHeader');
  read(judge, common.SignatureHeader, payload.getHeader().getSignatureHeader_asU8(), 'last_update SignatureHeader');
  const update = read(judge, common.ConfigUpdateEnvelope, payload.getData_asU8(), 'ConfigUpdateEnvelope');
  for (const signature of update.getSignaturesList()) {
    read(judge, common.SignatureHeader, signature.getSignatureHeader_asU8(), 'ConfigSignature header');
  }
  const inner = read(judge, common.ConfigUpdate, update.getConfigUpdate_asU8(), 'ConfigUpdate');
  // What a read set names by version only has no value to read; what is written has one.
  if (inner.getWriteSet()) readWritten(judge, inner.getWriteSet(), '/Channel', paths);
}

function readWritten(judge, group, path, paths) {
  for (const [name, value] of entries(group.getValuesMap())) {
    if (value.getValue_asU8().length > 0) readValue(judge, name, value.getValue_asU8(), `update ${path}/${name}`);
  }
  for (const [name, policy] of entries(group.getPoliciesMap())) {
    if (policy.getPolicy()) readPolicy(judge, policy.getPolicy(), `update ${path}/policy:${name}`);
  }
  for (const [name, child] of entries(group.getGroupsMap())) readWritten(judge, child, `${path}/${name}`, paths);
}
