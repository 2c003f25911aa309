'use strict';

const Transfers = require('./lib/transfers');

module.exports.Transfers = Transfers;
module.exports.contracts = [Transfers];
