// An application written for Fabric, on its client library for Go, against a node.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func expect(holds bool, what string, found ...any) {
	if !holds {
		panic(fmt.Sprintf("%s: %v", what, found))
	}
}

// Somebody with a certificate and a key.
func somebody(certificate, key string) (*identity.X509Identity, identity.Sign) {
	cert := must(identity.CertificateFromPEM(must(os.ReadFile(os.Getenv(certificate)))))
	private := must(identity.PrivateKeyFromPEM(must(os.ReadFile(os.Getenv(key)))))
	return who(cert), must(identity.NewPrivateKeySign(private))
}

func who(cert *x509.Certificate) *identity.X509Identity {
	return must(identity.NewX509Identity(os.Getenv("QUIRE_MSP"), cert))
}

func connect(connection *grpc.ClientConn, id identity.Identity, more ...client.ConnectOption) *client.Gateway {
	options := []client.ConnectOption{
		client.WithHash(hash.SHA256),
		client.WithClientConnection(connection),
		client.WithEvaluateTimeout(20 * time.Second),
		client.WithEndorseTimeout(20 * time.Second),
		client.WithSubmitTimeout(20 * time.Second),
		client.WithCommitStatusTimeout(20 * time.Second),
	}
	return must(client.Connect(id, append(options, more...)...))
}

// What the endorser said, out of the details of an error.
func said(err error) string {
	texts := []string{}
	for _, detail := range status.Convert(err).Details() {
		if detail, ok := detail.(*gateway.ErrorDetail); ok {
			texts = append(texts, detail.GetMessage())
		}
	}
	return strings.Join(texts, "; ")
}

var prefix = os.Getenv("PREFIX")

func main() {
	connection := must(grpc.NewClient(os.Getenv("QUIRE_GRPC"), grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer connection.Close()
	id, sign := somebody("QUIRE_CERT", "QUIRE_KEY")
	gw := connect(connection, id, client.WithSign(sign))
	defer gw.Close()
	network := gw.GetNetwork("main")
	transfers := network.GetContract("transfers")

	for _, test := range []struct {
		name string
		run  func()
	}{
		{"it submits and evaluates", func() { submits(transfers) }},
		{"events are resumed behind a checkpoint", func() { resumes(network, transfers) }},
		{"a proposal, a transaction and a question are signed elsewhere", func() { offline(connection, id, sign) }},
		{"what a chaincode refuses is not endorsed", func() { refused(transfers) }},
		{"the loser of a conflict is told so", func() { conflict(transfers) }},
		{"what is not there has the code of Fabric", func() { absent(gw, network) }},
		{"somebody who is no member gets nothing", func() { stranger(connection) }},
		{"an unknown transaction is waited for until the deadline", func() { unknown(gw, id, sign) }},
	} {
		test.run()
		fmt.Println("ok  Go:", test.name)
	}
}

func submits(transfers *client.Contract) {
	for _, account := range []string{"-a", "-b"} {
		must(transfers.SubmitTransaction("OpenAccount", prefix+account, "1000"))
	}
	must(transfers.SubmitTransaction("Deposit", prefix+"-a", "500"))
	var account struct{ Balance int }
	check(json.Unmarshal(must(transfers.EvaluateTransaction("GetAccount", prefix+"-a")), &account))
	expect(account.Balance == 500, "balance", account)
}

// The ids of the transfers that the next events tell of.
func heard(network *client.Network, checkpoint *client.FileCheckpointer, count int) (ids []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	events := must(network.ChaincodeEvents(ctx, "transfers", client.WithStartBlock(0), client.WithCheckpoint(checkpoint)))
	for len(ids) < count {
		event, ok := <-events
		expect(ok, "the events ended", ids)
		var transfer struct{ ID string }
		check(json.Unmarshal(event.Payload, &transfer))
		expect(event.EventName == "TransferExecuted", "event", event)
		check(checkpoint.CheckpointChaincodeEvent(event))
		if strings.HasPrefix(transfer.ID, prefix) {
			ids = append(ids, strings.TrimPrefix(transfer.ID, prefix))
		}
	}
	return ids
}

func resumes(network *client.Network, transfers *client.Contract) {
	for _, id := range []string{"-1", "-2", "-3"} {
		must(transfers.SubmitTransaction("Transfer", prefix+id, prefix+"-a", prefix+"-b", "1"))
	}
	first := must(client.NewFileCheckpointer(os.Getenv("CHECKPOINT")))
	ids := heard(network, first, 2)
	check(first.Close())
	again := must(client.NewFileCheckpointer(os.Getenv("CHECKPOINT")))
	ids = append(ids, heard(network, again, 1)...)
	check(again.Close())
	expect(strings.Join(ids, "") == "-1-2-3", "events", ids)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	blocks := must(network.BlockEvents(ctx, client.WithStartBlock(1)))
	block := <-blocks
	expect(block.GetHeader().GetNumber() == 1, "block", block)
}

func offline(connection *grpc.ClientConn, id identity.Identity, sign identity.Sign) {
	gw := connect(connection, id)
	defer gw.Close()
	contract := gw.GetNetwork("main").GetContract("transfers")
	unsigned := must(contract.NewProposal("Deposit", client.WithArguments(prefix+"-b", "7")))
	proposal := must(gw.NewSignedProposal(must(unsigned.Bytes()), must(sign(unsigned.Digest()))))
	prepared := must(proposal.Endorse())
	transaction := must(gw.NewSignedTransaction(must(prepared.Bytes()), must(sign(prepared.Digest()))))
	question := must(transaction.Submit())
	commit := must(gw.NewSignedCommit(must(question.Bytes()), must(sign(question.Digest()))))
	found := must(commit.Status())
	expect(found.Successful, "status", found)
}

func refused(transfers *client.Contract) {
	_, err := transfers.SubmitTransaction("Deposit", prefix+"-nobody", "1")
	var endorse *client.EndorseError
	expect(errors.As(err, &endorse), "an EndorseError", err)
	expect(status.Code(err) == codes.Aborted, "code", err)
	expect(strings.Contains(said(err), "chaincode response 500"), "detail", said(err))
	expect(strings.Contains(said(err), "there is no account"), "detail", said(err))
	_, err = transfers.EvaluateTransaction("GetAccount", prefix+"-nobody")
	expect(status.Code(err) == codes.Unknown, "code", err)
}

func conflict(transfers *client.Contract) {
	change := func() *client.Transaction {
		proposal := must(transfers.NewProposal("Deposit", client.WithArguments(prefix+"-b", "1")))
		return must(proposal.Endorse())
	}
	winner, loser := change(), change()
	first := must(must(winner.Submit()).Status())
	second := must(must(loser.Submit()).Status())
	expect(first.Code == peer.TxValidationCode_VALID, "first", first)
	expect(second.Code == peer.TxValidationCode_MVCC_READ_CONFLICT && !second.Successful, "second", second)
}

func absent(gw *client.Gateway, network *client.Network) {
	_, err := network.GetContract("nosuch").SubmitTransaction("DoIt")
	var endorse *client.EndorseError
	expect(errors.As(err, &endorse) && status.Code(err) == codes.Aborted, "an unknown chaincode", err)
	_, err = gw.GetNetwork("nosuch").GetContract("transfers").SubmitTransaction("DoIt")
	expect(status.Code(err) == codes.FailedPrecondition, "an unknown channel", err)
	_, err = network.GetContract("transfers").Submit("DoIt", client.WithEndorsingOrganizations("Org9MSP"))
	expect(status.Code(err) == codes.Unavailable, "an unknown organisation", err)
}

func stranger(connection *grpc.ClientConn) {
	id, sign := somebody("STRANGER_CERT", "STRANGER_KEY")
	gw := connect(connection, id, client.WithSign(sign))
	defer gw.Close()
	network := gw.GetNetwork("main")
	_, err := network.GetContract("transfers").SubmitTransaction("Deposit", prefix+"-a", "1")
	expect(status.Code(err) == codes.Aborted, "code", err)
	expect(strings.Contains(said(err), "access denied: channel [main]"), "detail", said(err))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	events, err := network.ChaincodeEvents(ctx, "transfers", client.WithStartBlock(0))
	if err == nil {
		// The library tells of the end of a stream, and not why.
		_, ok := <-events
		expect(!ok && ctx.Err() == nil, "events end at once", ok)
	}
}

func unknown(gw *client.Gateway, id identity.Identity, sign identity.Sign) {
	creator := must(proto.Marshal(&msp.SerializedIdentity{Mspid: id.MspID(), IdBytes: id.Credentials()}))
	request := must(proto.Marshal(&gateway.CommitStatusRequest{
		ChannelId:     "main",
		TransactionId: strings.Repeat("0", 64),
		Identity:      creator,
	}))
	signed := must(proto.Marshal(&gateway.SignedCommitStatusRequest{Request: request}))
	commit := must(gw.NewSignedCommit(signed, must(sign(hash.SHA256(request)))))
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, err := commit.StatusWithContext(ctx)
	var failed *client.CommitStatusError
	expect(errors.As(err, &failed), "a CommitStatusError", err)
	expect(status.Code(err) == codes.DeadlineExceeded, "code", err)
}
