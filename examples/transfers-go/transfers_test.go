package main

import (
	"sort"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/cid"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
)

// ledger is state in memory. What a transaction wrote is read by the next, as on a peer.
type ledger struct {
	state map[string][]byte
}

// stub is what the chaincode sees of the ledger in one transaction. What is not overridden is not called.
type stub struct {
	shim.ChaincodeStubInterface
	ledger *ledger
	writes map[string][]byte
	event  string
}

func (s *stub) GetState(key string) ([]byte, error) { return s.ledger.state[key], nil }

func (s *stub) PutState(key string, value []byte) error {
	s.writes[key] = value
	return nil
}

func (s *stub) SetEvent(name string, payload []byte) error {
	s.event = name + " " + string(payload)
	return nil
}

func (s *stub) GetStateByRange(start, end string) (shim.StateQueryIteratorInterface, error) {
	rows := new(rows)
	for key, value := range s.ledger.state {
		if key >= start && key < end {
			rows.left = append(rows.left, &queryresult.KV{Key: key, Value: value})
		}
	}
	sort.Slice(rows.left, func(a, b int) bool { return rows.left[a].Key < rows.left[b].Key })
	return rows, nil
}

type rows struct{ left []*queryresult.KV }

func (r *rows) HasNext() bool { return len(r.left) > 0 }
func (r *rows) Close() error  { return nil }
func (r *rows) Next() (*queryresult.KV, error) {
	next := r.left[0]
	r.left = r.left[1:]
	return next, nil
}

type identity struct {
	cid.ClientIdentity
	id string
}

func (i identity) GetID() (string, error) { return i.id, nil }

// as runs a transaction of somebody's, and keeps what it wrote if it succeeded.
func (l *ledger) as(who string, run func(contractapi.TransactionContextInterface) error) (string, error) {
	ctx, stub := new(contractapi.TransactionContext), &stub{ledger: l, writes: map[string][]byte{}}
	ctx.SetStub(stub)
	ctx.SetClientIdentity(identity{id: who})
	if err := run(ctx); err != nil {
		return "", err
	}
	for key, value := range stub.writes {
		l.state[key] = value
	}
	return stub.event, nil
}

func opened(t *testing.T) *ledger {
	t.Helper()
	ledger, contract := &ledger{state: map[string][]byte{}}, new(Transfers)
	for _, step := range []struct {
		who string
		run func(contractapi.TransactionContextInterface) error
	}{
		{"alice", func(ctx contractapi.TransactionContextInterface) error {
			_, err := contract.OpenAccount(ctx, "a", 100)
			return err
		}},
		{"bob", func(ctx contractapi.TransactionContextInterface) error {
			_, err := contract.OpenAccount(ctx, "b", 100)
			return err
		}},
		{"alice", func(ctx contractapi.TransactionContextInterface) error {
			_, err := contract.Deposit(ctx, "a", 1000)
			return err
		}},
	} {
		if _, err := ledger.as(step.who, step.run); err != nil {
			t.Fatal(err)
		}
	}
	return ledger
}

func (l *ledger) transfer(who, id string, amount int64) (string, error) {
	return l.as(who, func(ctx contractapi.TransactionContextInterface) error {
		_, err := new(Transfers).Transfer(ctx, id, "a", "b", amount)
		return err
	})
}

func (l *ledger) approve(who, id string) (string, error) {
	return l.as(who, func(ctx contractapi.TransactionContextInterface) error {
		_, err := new(Transfers).Approve(ctx, id)
		return err
	})
}

func (l *ledger) balances(t *testing.T) [2]int64 {
	t.Helper()
	var found [2]int64
	for at, id := range []string{"a", "b"} {
		if _, err := l.as("anyone", func(ctx contractapi.TransactionContextInterface) error {
			account, err := new(Transfers).GetAccount(ctx, id)
			found[at] = account.Balance
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func refused(t *testing.T, err error, reason string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Fatalf("%v, not %q", err, reason)
	}
}

func TestATransferWithinTheLimitIsExecutedAtOnceAndTold(t *testing.T) {
	ledger := opened(t)
	event, err := ledger.transfer("alice", "t1", 100)
	if err != nil || !strings.HasPrefix(event, `TransferExecuted {"id":"t1"`) {
		t.Fatal(event, err)
	}
	if found := ledger.balances(t); found != [2]int64{900, 100} {
		t.Fatal(found)
	}
}

func TestATransferAboveTheLimitWaitsForASecondPerson(t *testing.T) {
	ledger := opened(t)
	if _, err := ledger.transfer("alice", "t1", 101); err != nil {
		t.Fatal(err)
	}
	if found := ledger.balances(t); found != [2]int64{1000, 0} {
		t.Fatal(found)
	}
	if _, err := ledger.as("anyone", func(ctx contractapi.TransactionContextInterface) error {
		pending, err := new(Transfers).ListPending(ctx)
		if len(pending) != 1 || pending[0].ID != "t1" {
			t.Fatal(pending)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, err := ledger.approve("alice", "t1")
	refused(t, err, "second person")
	if _, err := ledger.approve("carol", "t1"); err != nil {
		t.Fatal(err)
	}
	if found := ledger.balances(t); found != [2]int64{899, 101} {
		t.Fatal(found)
	}
	_, err = ledger.approve("carol", "t1")
	refused(t, err, "is EXECUTED")
}

func TestNobodyPaysFromTheAccountOfAnotherOrMoreThanThereIs(t *testing.T) {
	ledger := opened(t)
	_, err := ledger.transfer("bob", "t1", 1)
	refused(t, err, "not the caller's")
	if _, err := ledger.transfer("alice", "t2", 2000); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.approve("bob", "t2")
	refused(t, err, "has 1000, the transfer takes 2000")
	for _, wrong := range []int64{0, -1, Most + 1} {
		_, err := ledger.transfer("alice", "t3", wrong)
		refused(t, err, "amount must be")
	}
}
