'use strict';
// Reads one document with each call, by an evaluation.

const { WorkloadModuleBase } = require('@hyperledger/caliper-core');

class Get extends WorkloadModuleBase {
  async initializeWorkloadModule(...of) {
    await super.initializeWorkloadModule(...of);
    await this.sutAdapter.sendRequests({
      contractId: 'orders',
      contractFunction: 'put',
      contractArguments: [JSON.stringify(`read-${this.workerIndex}`), '{"total":12.5}'],
      readOnly: false,
    });
  }

  async submitTransaction() {
    await this.sutAdapter.sendRequests({
      contractId: 'orders',
      contractFunction: 'get',
      contractArguments: [JSON.stringify(`read-${this.workerIndex}`)],
      readOnly: true,
    });
  }
}

module.exports.createWorkloadModule = () => new Get();
