package main

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
)

// Most is the largest amount: clients in JavaScript read it exactly.
const Most = 1<<53 - 1

// Status of a transfer.
const (
	Executed = "EXECUTED"
	Pending  = "PENDING"
	Rejected = "REJECTED"
)

// Account is state `account:<id>`. Its limit is the most that its owner transfers alone. Amounts are whole numbers of
// the smallest unit, such as cents.
type Account struct {
	ID      string `json:"id"`
	Owner   string `json:"owner"`
	Balance int64  `json:"balance"`
	Limit   int64  `json:"limit"`
}

// Transfer is state `transfer:<id>`.
type Transfer struct {
	ID          string `json:"id"`
	From        string `json:"from"`
	To          string `json:"to"`
	Amount      int64  `json:"amount"`
	Status      string `json:"status"`
	RequestedBy string `json:"requestedBy"`
	DecidedBy   string `json:"decidedBy"`
}

// Transfers is the contract.
type Transfers struct {
	contractapi.Contract
}

// OpenAccount opens an account of the caller's, without money.
func (*Transfers) OpenAccount(ctx contractapi.TransactionContextInterface, id string, limit int64) (*Account, error) {
	if err := absent(ctx, "account", id); err != nil {
		return nil, err
	}
	if limit < 0 || limit > Most {
		return nil, fmt.Errorf("limit must be from 0 to %d", int64(Most))
	}
	owner, err := ctx.GetClientIdentity().GetID()
	if err != nil {
		return nil, err
	}
	account := &Account{ID: id, Owner: owner, Limit: limit}
	return account, put(ctx, "account", id, account)
}

// Deposit adds money from outside to an account.
func (*Transfers) Deposit(ctx contractapi.TransactionContextInterface, id string, amount int64) (*Account, error) {
	account := new(Account)
	if err := get(ctx, "account", id, account); err != nil {
		return nil, err
	}
	if err := positive(amount); err != nil {
		return nil, err
	}
	if err := credit(account, amount); err != nil {
		return nil, err
	}
	return account, put(ctx, "account", id, account)
}

// Transfer transfers within the limit of the account that pays, and asks for a second person's approval above it.
func (*Transfers) Transfer(ctx contractapi.TransactionContextInterface, id, from, to string, amount int64) (*Transfer, error) {
	if err := absent(ctx, "transfer", id); err != nil {
		return nil, err
	}
	if from == to {
		return nil, fmt.Errorf("an account transfers nothing to itself")
	}
	if err := positive(amount); err != nil {
		return nil, err
	}
	payer, payee := new(Account), new(Account)
	if err := get(ctx, "account", from, payer); err != nil {
		return nil, err
	}
	if err := get(ctx, "account", to, payee); err != nil {
		return nil, err
	}
	caller, err := ctx.GetClientIdentity().GetID()
	if err != nil {
		return nil, err
	}
	if payer.Owner != caller {
		return nil, fmt.Errorf("account %s is not the caller's", from)
	}
	transfer := &Transfer{ID: id, From: from, To: to, Amount: amount, Status: Pending, RequestedBy: caller}
	if amount > payer.Limit {
		return transfer, put(ctx, "transfer", id, transfer)
	}
	return transfer, execute(ctx, transfer, payer, payee)
}

// Approve executes a transfer that waits. Whoever asked for it cannot approve it.
func (*Transfers) Approve(ctx contractapi.TransactionContextInterface, id string) (*Transfer, error) {
	transfer, err := decided(ctx, id)
	if err != nil {
		return nil, err
	}
	payer, payee := new(Account), new(Account)
	if err := get(ctx, "account", transfer.From, payer); err != nil {
		return nil, err
	}
	if err := get(ctx, "account", transfer.To, payee); err != nil {
		return nil, err
	}
	return transfer, execute(ctx, transfer, payer, payee)
}

// Reject ends a transfer that waits, without effect.
func (*Transfers) Reject(ctx contractapi.TransactionContextInterface, id string) (*Transfer, error) {
	transfer, err := decided(ctx, id)
	if err != nil {
		return nil, err
	}
	transfer.Status = Rejected
	return transfer, put(ctx, "transfer", id, transfer)
}

// GetAccount is the account as it is.
func (*Transfers) GetAccount(ctx contractapi.TransactionContextInterface, id string) (*Account, error) {
	account := new(Account)
	return account, get(ctx, "account", id, account)
}

// GetTransfer is the transfer as it is.
func (*Transfers) GetTransfer(ctx contractapi.TransactionContextInterface, id string) (*Transfer, error) {
	transfer := new(Transfer)
	return transfer, get(ctx, "transfer", id, transfer)
}

// ListPending is the transfers that wait for a decision, by id.
func (*Transfers) ListPending(ctx contractapi.TransactionContextInterface) ([]*Transfer, error) {
	rows, err := ctx.GetStub().GetStateByRange("transfer:", "transfer;")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pending := []*Transfer{}
	for rows.HasNext() {
		row, err := rows.Next()
		if err != nil {
			return nil, err
		}
		transfer := new(Transfer)
		if err := json.Unmarshal(row.Value, transfer); err != nil {
			return nil, err
		}
		if transfer.Status == Pending {
			pending = append(pending, transfer)
		}
	}
	return pending, nil
}

func execute(ctx contractapi.TransactionContextInterface, transfer *Transfer, payer, payee *Account) error {
	if payer.Balance < transfer.Amount {
		return fmt.Errorf("account %s has %d, the transfer takes %d", payer.ID, payer.Balance, transfer.Amount)
	}
	payer.Balance -= transfer.Amount
	if err := credit(payee, transfer.Amount); err != nil {
		return err
	}
	transfer.Status = Executed
	if err := put(ctx, "account", payer.ID, payer); err != nil {
		return err
	}
	if err := put(ctx, "account", payee.ID, payee); err != nil {
		return err
	}
	told, err := json.Marshal(transfer)
	if err != nil {
		return err
	}
	if err := ctx.GetStub().SetEvent("TransferExecuted", told); err != nil {
		return err
	}
	return put(ctx, "transfer", transfer.ID, transfer)
}

// decided is a transfer that waits, with the caller as the second person.
func decided(ctx contractapi.TransactionContextInterface, id string) (*Transfer, error) {
	transfer := new(Transfer)
	if err := get(ctx, "transfer", id, transfer); err != nil {
		return nil, err
	}
	if transfer.Status != Pending {
		return nil, fmt.Errorf("transfer %s is %s", id, transfer.Status)
	}
	second, err := ctx.GetClientIdentity().GetID()
	if err != nil {
		return nil, err
	}
	if second == transfer.RequestedBy {
		return nil, fmt.Errorf("transfer %s needs the decision of a second person", id)
	}
	transfer.DecidedBy = second
	return transfer, nil
}

func credit(account *Account, amount int64) error {
	if account.Balance > math.MaxInt64-amount || account.Balance+amount > Most {
		return fmt.Errorf("account %s cannot hold so much", account.ID)
	}
	account.Balance += amount
	return nil
}

func positive(amount int64) error {
	if amount <= 0 || amount > Most {
		return fmt.Errorf("amount must be from 1 to %d", int64(Most))
	}
	return nil
}

func absent(ctx contractapi.TransactionContextInterface, kind, id string) error {
	if id == "" {
		return fmt.Errorf("%s needs an id", kind)
	}
	found, err := ctx.GetStub().GetState(kind + ":" + id)
	if err != nil {
		return err
	}
	if found != nil {
		return fmt.Errorf("%s %s exists", kind, id)
	}
	return nil
}

func get(ctx contractapi.TransactionContextInterface, kind, id string, into any) error {
	found, err := ctx.GetStub().GetState(kind + ":" + id)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("there is no %s %s", kind, id)
	}
	return json.Unmarshal(found, into)
}

func put(ctx contractapi.TransactionContextInterface, kind, id string, value any) error {
	bytes, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return ctx.GetStub().PutState(kind+":"+id, bytes)
}
