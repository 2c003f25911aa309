// Command transfers is the chaincode of accounts, and of transfers that a second person approves above a limit.
package main

import (
	"log"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
)

func main() {
	chaincode, err := contractapi.NewChaincode(new(Transfers))
	if err != nil {
		log.Fatal(err)
	}
	if err := chaincode.Start(); err != nil {
		log.Fatal(err)
	}
}
