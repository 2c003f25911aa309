'use strict';
// Puts a document under a new key with each transaction.

const { WorkloadModuleBase } = require('@hyperledger/caliper-core');

class Put extends WorkloadModuleBase {
  constructor() {
    super();
    this.count = 0;
  }

  async submitTransaction() {
    this.count += 1;
    const key = `${Date.now()}-${this.workerIndex}-${this.roundIndex}-${this.count}`;
    await this.sutAdapter.sendRequests({
      contractId: 'orders',
      contractFunction: 'put',
      contractArguments: [JSON.stringify(key), JSON.stringify({ total: 12.5, payload: 'x'.repeat(150) })],
      readOnly: false,
    });
  }
}

module.exports.createWorkloadModule = () => new Put();
