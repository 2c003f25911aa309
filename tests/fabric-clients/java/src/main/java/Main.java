// An application written for Fabric, on its client library for Java, against a node.

import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import io.grpc.Channel;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status.Code;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.hyperledger.fabric.client.ChaincodeEvent;
import org.hyperledger.fabric.client.CloseableIterator;
import org.hyperledger.fabric.client.Commit;
import org.hyperledger.fabric.client.CommitStatusException;
import org.hyperledger.fabric.client.Contract;
import org.hyperledger.fabric.client.EndorseException;
import org.hyperledger.fabric.client.FileCheckpointer;
import org.hyperledger.fabric.client.Gateway;
import org.hyperledger.fabric.client.GatewayException;
import org.hyperledger.fabric.client.GatewayRuntimeException;
import org.hyperledger.fabric.client.Hash;
import org.hyperledger.fabric.client.Network;
import org.hyperledger.fabric.client.Proposal;
import org.hyperledger.fabric.client.Status;
import org.hyperledger.fabric.client.SubmittedTransaction;
import org.hyperledger.fabric.client.Transaction;
import org.hyperledger.fabric.client.identity.Identities;
import org.hyperledger.fabric.client.identity.Identity;
import org.hyperledger.fabric.client.identity.Signer;
import org.hyperledger.fabric.client.identity.Signers;
import org.hyperledger.fabric.client.identity.X509Identity;
import org.hyperledger.fabric.protos.common.Block;
import org.hyperledger.fabric.protos.gateway.CommitStatusRequest;
import org.hyperledger.fabric.protos.gateway.ErrorDetail;
import org.hyperledger.fabric.protos.gateway.SignedCommitStatusRequest;
import org.hyperledger.fabric.protos.msp.SerializedIdentity;
import org.hyperledger.fabric.protos.peer.TxValidationCode;

public final class Main {
    private static final String PREFIX = System.getenv("PREFIX");

    private interface Test {
        void run() throws Exception;
    }

    /** Somebody with a certificate and a key. */
    private record Somebody(Identity identity, Signer signer) {
        static Somebody of(String certificate, String key) throws Exception {
            var cert = Identities.readX509Certificate(Files.readString(Path.of(System.getenv(certificate))));
            var secret = Identities.readPrivateKey(Files.readString(Path.of(System.getenv(key))));
            var identity = new X509Identity(System.getenv("QUIRE_MSP"), cert);
            return new Somebody(identity, Signers.newPrivateKeySigner(secret));
        }
    }

    public static void main(String[] arguments) throws Exception {
        ManagedChannel channel =
                Grpc.newChannelBuilder(System.getenv("QUIRE_GRPC"), InsecureChannelCredentials.create()).build();
        var client = Somebody.of("QUIRE_CERT", "QUIRE_KEY");
        try (Gateway gateway = connect(channel, client.identity).signer(client.signer).connect()) {
            Network network = gateway.getNetwork("main");
            Contract transfers = network.getContract("transfers");
            test("it submits and evaluates", () -> submits(transfers));
            test("events are resumed behind a checkpoint", () -> resumes(network, transfers));
            test("a proposal, a transaction and a question are signed elsewhere", () -> offline(channel, client));
            test("what a chaincode refuses is not endorsed", () -> refused(transfers));
            test("the loser of a conflict is told so", () -> conflict(transfers));
            test("what is not there has the code of Fabric", () -> absent(gateway, network));
            test("somebody who is no member gets nothing", () -> stranger(channel));
            test("an unknown transaction is waited for until the deadline", () -> unknown(gateway, client));
        }
        channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }

    private static Gateway.Builder connect(Channel channel, Identity identity) {
        return Gateway.newInstance()
                .connection(channel)
                .identity(identity)
                .hash(Hash.SHA256)
                .evaluateOptions(options -> options.withDeadlineAfter(20, TimeUnit.SECONDS))
                .endorseOptions(options -> options.withDeadlineAfter(20, TimeUnit.SECONDS))
                .submitOptions(options -> options.withDeadlineAfter(20, TimeUnit.SECONDS))
                .commitStatusOptions(options -> options.withDeadlineAfter(20, TimeUnit.SECONDS));
    }

    private static void test(String name, Test test) throws Exception {
        test.run();
        System.out.println("ok  Java: " + name);
    }

    private static void expect(boolean holds, Object found) {
        if (!holds) {
            throw new AssertionError(found);
        }
    }

    private static <E extends Exception> E fails(Class<E> kind, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (Exception error) {
            expect(kind.isInstance(error), error);
            return kind.cast(error);
        }
        throw new AssertionError("it did not fail");
    }

    /** What the endorser said. */
    private static String said(GatewayException error) {
        return error.getDetails().stream().map(ErrorDetail::getMessage).collect(Collectors.joining("; "));
    }

    private static String member(byte[] json, String name) {
        var text = new String(json, StandardCharsets.UTF_8);
        return JsonParser.parseString(text).getAsJsonObject().get(name).getAsString();
    }

    private static void submits(Contract transfers) throws Exception {
        for (String account : List.of("-a", "-b")) {
            transfers.submitTransaction("OpenAccount", PREFIX + account, "1000");
        }
        transfers.submitTransaction("Deposit", PREFIX + "-a", "500");
        byte[] account = transfers.evaluateTransaction("GetAccount", PREFIX + "-a");
        expect(member(account, "balance").equals("500"), new String(account, StandardCharsets.UTF_8));
    }

    /** The ids of the transfers that the next events tell of. */
    private static List<String> heard(Network network, FileCheckpointer checkpoint, int count) throws Exception {
        List<String> ids = new ArrayList<>();
        var request = network.newChaincodeEventsRequest("transfers").startBlock(0).checkpoint(checkpoint).build();
        try (CloseableIterator<ChaincodeEvent> events =
                request.getEvents(options -> options.withDeadlineAfter(30, TimeUnit.SECONDS))) {
            while (ids.size() < count) {
                ChaincodeEvent event = events.next();
                expect(event.getEventName().equals("TransferExecuted"), event.getEventName());
                checkpoint.checkpointChaincodeEvent(event);
                String id = member(event.getPayload(), "id");
                if (id.startsWith(PREFIX)) {
                    ids.add(id.substring(PREFIX.length()));
                }
            }
        }
        return ids;
    }

    private static void resumes(Network network, Contract transfers) throws Exception {
        for (String id : List.of("-1", "-2", "-3")) {
            transfers.submitTransaction("Transfer", PREFIX + id, PREFIX + "-a", PREFIX + "-b", "1");
        }
        Path file = Path.of(System.getenv("CHECKPOINT"));
        List<String> ids = new ArrayList<>();
        try (var first = new FileCheckpointer(file)) {
            ids.addAll(heard(network, first, 2));
        }
        try (var again = new FileCheckpointer(file)) {
            ids.addAll(heard(network, again, 1));
        }
        expect(ids.equals(List.of("-1", "-2", "-3")), ids);

        var request = network.newBlockEventsRequest().startBlock(1).build();
        try (CloseableIterator<Block> blocks =
                request.getEvents(options -> options.withDeadlineAfter(30, TimeUnit.SECONDS))) {
            expect(blocks.next().getHeader().getNumber() == 1, "another block");
        }
    }

    private static void offline(Channel channel, Somebody who) throws Exception {
        try (Gateway gateway = connect(channel, who.identity).connect()) {
            Contract contract = gateway.getNetwork("main").getContract("transfers");
            Proposal unsigned = contract.newProposal("Deposit").addArguments(PREFIX + "-b", "7").build();
            Proposal proposal =
                    gateway.newSignedProposal(unsigned.getBytes(), who.signer.sign(unsigned.getDigest()));
            Transaction prepared = proposal.endorse();
            Transaction transaction =
                    gateway.newSignedTransaction(prepared.getBytes(), who.signer.sign(prepared.getDigest()));
            Commit question = transaction.submitAsync();
            Commit commit = gateway.newSignedCommit(question.getBytes(), who.signer.sign(question.getDigest()));
            expect(commit.getStatus().isSuccessful(), "not valid");
        }
    }

    private static void refused(Contract transfers) throws Exception {
        var error = fails(
                EndorseException.class, () -> transfers.submitTransaction("Deposit", PREFIX + "-nobody", "1"));
        expect(error.getStatus().getCode() == Code.ABORTED, error);
        expect(said(error).contains("chaincode response 500"), said(error));
        expect(said(error).contains("there is no account"), said(error));
        var evaluated = fails(
                GatewayException.class, () -> transfers.evaluateTransaction("GetAccount", PREFIX + "-nobody"));
        expect(evaluated.getStatus().getCode() == Code.UNKNOWN, evaluated);
    }

    private static void conflict(Contract transfers) throws Exception {
        Callable<Transaction> change =
                () -> transfers.newProposal("Deposit").addArguments(PREFIX + "-b", "1").build().endorse();
        Transaction winner = change.call();
        Transaction loser = change.call();
        SubmittedTransaction first = winner.submitAsync();
        expect(first.getStatus().isSuccessful(), first.getStatus().getCode());
        Status second = loser.submitAsync().getStatus();
        expect(second.getCode() == TxValidationCode.MVCC_READ_CONFLICT && !second.isSuccessful(), second.getCode());
    }

    private static void absent(Gateway gateway, Network network) throws Exception {
        Contract nosuch = network.getContract("nosuch");
        var chaincode = fails(EndorseException.class, () -> nosuch.submitTransaction("DoIt"));
        expect(chaincode.getStatus().getCode() == Code.ABORTED, chaincode);
        Contract elsewhere = gateway.getNetwork("nosuch").getContract("transfers");
        var channel = fails(EndorseException.class, () -> elsewhere.submitTransaction("DoIt"));
        expect(channel.getStatus().getCode() == Code.FAILED_PRECONDITION, channel);
        var proposal = network.getContract("transfers").newProposal("DoIt").setEndorsingOrganizations("Org9MSP");
        var organization = fails(EndorseException.class, () -> proposal.build().endorse());
        expect(organization.getStatus().getCode() == Code.UNAVAILABLE, organization);
    }

    private static void stranger(Channel channel) throws Exception {
        var who = Somebody.of("STRANGER_CERT", "STRANGER_KEY");
        try (Gateway gateway = connect(channel, who.identity).signer(who.signer).connect()) {
            Network network = gateway.getNetwork("main");
            Contract contract = network.getContract("transfers");
            var error = fails(
                    EndorseException.class, () -> contract.submitTransaction("Deposit", PREFIX + "-a", "1"));
            expect(error.getStatus().getCode() == Code.ABORTED, error);
            expect(said(error).contains("access denied: channel [main]"), said(error));
            try (var events = network.getChaincodeEvents("transfers")) {
                var denied = fails(GatewayRuntimeException.class, events::next);
                expect(denied.getStatus().getCode() == Code.PERMISSION_DENIED, denied);
            }
        }
    }

    private static void unknown(Gateway gateway, Somebody who) throws Exception {
        var creator = SerializedIdentity.newBuilder()
                .setMspid(who.identity.getMspId())
                .setIdBytes(ByteString.copyFrom(who.identity.getCredentials()))
                .build();
        byte[] request = CommitStatusRequest.newBuilder()
                .setChannelId("main")
                .setTransactionId("0".repeat(64))
                .setIdentity(creator.toByteString())
                .build()
                .toByteArray();
        byte[] asked = SignedCommitStatusRequest.newBuilder()
                .setRequest(ByteString.copyFrom(request))
                .build()
                .toByteArray();
        Commit commit = gateway.newSignedCommit(asked, who.signer.sign(Hash.SHA256.apply(request)));
        var error = fails(
                CommitStatusException.class,
                () -> commit.getStatus(options -> options.withDeadlineAfter(500, TimeUnit.MILLISECONDS)));
        expect(error.getStatus().getCode() == Code.DEADLINE_EXCEEDED, error);
    }
}
