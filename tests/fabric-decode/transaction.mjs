// One envelope, read to its last nested message, with Fabric's own checks on it.

import { readConfig } from './config.mjs';
import { common, equal, hex, kvrwset, peer, read, rwset } from './messages.mjs';
import { sha256 } from './hashes.mjs';

const TYPE = common.HeaderType;
const CODE = peer.TxValidationCode;
// Transactions that reached the version checks had every signature accepted before.
const SIGNED = new Set([CODE.VALID, CODE.DUPLICATE_TXID, CODE.MVCC_READ_CONFLICT, CODE.PHANTOM_READ_CONFLICT]);

export const codeName = (code) =>
  Object.entries(CODE).find(([, value]) => value === code)?.[0] ?? `code ${code}`;

/**
 * Judges one envelope. Returns its type, id, channel and, of an endorser transaction, the read-write
 * sets by namespace; of a configuration, the paths in it.
 */
export function judgeEnvelope(judge, bytes, code, trust, { genesis }) {
  const envelope = read(judge, common.Envelope, bytes, 'Envelope');
  const payload = read(judge, common.Payload, envelope.getPayload_asU8(), 'Payload');
  const header = payload.getHeader() ?? new common.Header();
  const channelHeader = read(judge, common.ChannelHeader, header.getChannelHeader_asU8(), 'ChannelHeader');
  const signatureHeader = read(judge, common.SignatureHeader, header.getSignatureHeader_asU8(), 'SignatureHeader');
  const found = { type: channelHeader.getType(), id: channelHeader.getTxId(), channel: channelHeader.getChannelId() };
  judge.that('decode', found.channel !== '', 'the channel header names no channel');
  judge.that('decode', channelHeader.getEpoch() === 0, `epoch ${channelHeader.getEpoch()}`);

  if (found.type === TYPE.CONFIG) {
    found.paths = readConfig(judge, payload.getData_asU8(), trust);
  } else {
    judge.that('decode', found.type === TYPE.ENDORSER_TRANSACTION, `header type ${found.type}`);
  }

  const nonce = signatureHeader.getNonce_asU8();
  const creator = signatureHeader.getCreator_asU8();
  if (found.id !== '') {
    const derived = hex(sha256(nonce, creator));
    judge.that('transaction-id', found.id === derived, `${found.id} should be ${derived}`);
  }
  // Fabric's tools make the first block without a creator; one that is signed must verify.
  const unsigned = genesis && envelope.getSignature_asU8().length === 0;
  if (SIGNED.has(code) && !unsigned) {
    judge.that('creator-signature', nonce.length > 0 && creator.length > 0, 'no nonce or no creator');
    const identity = trust.identity(creator, 'creator');
    trust.signed('creator-signature', identity, [envelope.getPayload_asU8()], envelope.getSignature_asU8(), 'the creator\'s signature');
  }
  if (found.type === TYPE.ENDORSER_TRANSACTION) {
    const extension = read(judge, peer.ChaincodeHeaderExtension, channelHeader.getExtension_asU8(), 'ChaincodeHeaderExtension');
    found.sets = judgeCall(judge, payload, header, extension.getChaincodeId()?.getName(), code, trust);
  }
  return found;
}

function judgeCall(judge, payload, header, chaincode, code, trust) {
  const transaction = read(judge, peer.Transaction, payload.getData_asU8(), 'Transaction');
  const actions = transaction.getActionsList();
  if (!judge.that('decode', actions.length === 1, `${actions.length} actions`)) return [];
  const [action] = actions;
  read(judge, common.SignatureHeader, action.getHeader_asU8(), 'action SignatureHeader');
  judge.that('decode', equal(action.getHeader_asU8(), header.getSignatureHeader_asU8()), 'the action has another signature header than the payload');
  const actionPayload = read(judge, peer.ChaincodeActionPayload, action.getPayload_asU8(), 'ChaincodeActionPayload');
  const invoked = readProposal(judge, actionPayload.getChaincodeProposalPayload_asU8());

  const endorsed = actionPayload.getAction() ?? new peer.ChaincodeEndorsedAction();
  const responseBytes = endorsed.getProposalResponsePayload_asU8();
  const response = read(judge, peer.ProposalResponsePayload, responseBytes, 'ProposalResponsePayload');
  const proposalHash = sha256(
    header.getChannelHeader_asU8(),
    header.getSignatureHeader_asU8(),
    actionPayload.getChaincodeProposalPayload_asU8(),
  );
  judge.that('proposal-hash', equal(response.getProposalHash_asU8(), proposalHash),
    () => `${hex(response.getProposalHash_asU8())} should be ${hex(proposalHash)}`);

  if (SIGNED.has(code)) {
    const endorsements = endorsed.getEndorsementsList();
    judge.that('endorsement-signature', endorsements.length > 0, 'nobody endorsed');
    for (const endorsement of endorsements) {
      const endorser = endorsement.getEndorser_asU8();
      const identity = trust.identity(endorser, 'endorser');
      trust.signed('endorsement-signature', identity, [responseBytes, endorser], endorsement.getSignature_asU8(), 'an endorsement');
    }
  }
  const { endorsedChaincode, sets } = readAction(judge, response.getExtension_asU8());
  judge.that('chaincode', chaincode && chaincode === invoked && chaincode === endorsedChaincode,
    `the header extension says ${chaincode}, the invocation ${invoked}, the action ${endorsedChaincode}`);
  return sets;
}

function readProposal(judge, bytes) {
  const proposal = read(judge, peer.ChaincodeProposalPayload, bytes, 'ChaincodeProposalPayload');
  judge.that('decode', proposal.getTransientmapMap().getLength() === 0, 'a transient map got into a block');
  const invocation = read(judge, peer.ChaincodeInvocationSpec, proposal.getInput_asU8(), 'ChaincodeInvocationSpec');
  const spec = invocation.getChaincodeSpec();
  judge.that('decode', spec?.getInput(), 'the invocation has no input');
  return spec?.getChaincodeId()?.getName();
}

function readAction(judge, bytes) {
  const action = read(judge, peer.ChaincodeAction, bytes, 'ChaincodeAction');
  if (action.getEvents_asU8().length > 0) read(judge, peer.ChaincodeEvent, action.getEvents_asU8(), 'ChaincodeEvent');
  judge.that('decode', action.getResponse(), 'the action has no response');
  const results = read(judge, rwset.TxReadWriteSet, action.getResults_asU8(), 'TxReadWriteSet');
  judge.that('decode', results.getDataModel() === 0, `data model ${results.getDataModel()}`);
  const sets = results.getNsRwsetList().map((set) => ({
    namespace: set.getNamespace(),
    public: read(judge, kvrwset.KVRWSet, set.getRwset_asU8(), `KVRWSet of ${set.getNamespace()}`),
    collections: set.getCollectionHashedRwsetList().map((collection) => ({
      name: collection.getCollectionName(),
      hashed: read(judge, kvrwset.HashedRWSet, collection.getHashedRwset_asU8(), `HashedRWSet of ${collection.getCollectionName()}`),
    })),
  }));
  return { endorsedChaincode: action.getChaincodeId()?.getName(), sets };
}
