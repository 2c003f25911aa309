//! Proposals, and the queue before the committing thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};
use quire_chaincode::{ChaincodeError, Invocation};
use quire_gateway::metrics::Family;
use quire_ledger::Meter;
use quire_ordering::QueueObserver;
use quire_peer::{
    Evaluated, Promised, Proposal, ProposalError, SubmitError, Submitted, Submitter,
    UnpackedProposal, Wanted, Watch,
};
use quire_wire::peer::ProposalResponse;

use super::chaincodes::Chaincodes;
use super::{Metrics, TIME_BUCKETS};

/// The least status with which a chaincode refuses: Fabric's.
const REFUSED: i32 = 400;

/// What channels share.
#[derive(Debug)]
pub(crate) struct Families {
    received: IntCounterVec,
    successful: IntCounterVec,
    failures: IntCounterVec,
    duplicates: IntCounterVec,
    duration: HistogramVec,
    depth: IntGaugeVec,
    capacity: IntGaugeVec,
    wait: HistogramVec,
    refused: IntCounterVec,
    /// By namespace, without a version.
    chaincodes: Chaincodes,
}

impl Families {
    pub(crate) fn new(family: &Family) -> Self {
        let counters = |name, help, labels: &[&str]| family.counters(name, help, labels);
        Self {
            received: counters(
                "endorser_proposals_received",
                "Proposals that were to become transactions.",
                &["channel"],
            ),
            successful: counters(
                "endorser_successful_proposals",
                "Proposals that were simulated, endorsed and ordered.",
                &["channel"],
            ),
            failures: counters(
                "endorser_proposal_simulation_failures",
                "Proposals that the chaincode refused: the caller's fault, mostly (a key that is \
                 not there, a version that does not hold).",
                &["channel"],
            ),
            duplicates: counters(
                "endorser_duplicate_transaction_failures",
                "Proposals whose transaction id was known.",
                &["channel"],
            ),
            duration: family.histograms(
                "endorser_proposal_duration",
                "Seconds from proposal to queue: simulate, endorse, order. Rising: the processors \
                 are busy, or state is slow.",
                &["channel", "chaincode", "success"],
                &TIME_BUCKETS,
            ),
            depth: family.gauges(
                "quire_queue_transactions",
                "Transactions that wait for the committing thread.",
                &["channel"],
            ),
            capacity: family.gauges(
                "quire_queue_capacity",
                "Transactions that may wait; beyond, callers get 503 and Retry-After.",
                &["channel"],
            ),
            wait: family.histograms(
                "quire_queue_wait_seconds",
                "Seconds a transaction waited for the committing thread. Rising: more comes in than \
                 the disk takes.",
                &["channel"],
                &TIME_BUCKETS,
            ),
            refused: counters(
                "quire_queue_refused_total",
                "Transactions turned away because the queue was full.",
                &["channel"],
            ),
            chaincodes: Chaincodes::default(),
        }
    }
}

impl Metrics {
    /// The queue of a channel.
    pub(crate) fn queue(&self, channel: &str, capacity: usize) -> QueueMetrics {
        let Families {
            depth,
            capacity: capacities,
            wait,
            ..
        } = &self.submitting;
        let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
        capacities.with_label_values(&[channel]).set(capacity);
        QueueMetrics {
            depth: depth.with_label_values(&[channel]),
            wait: wait.with_label_values(&[channel]),
        }
    }
}

/// A channel's queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueMetrics {
    depth: IntGauge,
    wait: Histogram,
}

impl QueueObserver for QueueMetrics {
    fn joined(&self) {
        self.depth.inc();
    }

    fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    fn left(&self) {
        self.depth.dec();
    }
}

/// A submitter whose proposals are counted.
pub(crate) struct Measured {
    pub(crate) inner: Arc<dyn Submitter>,
    pub(crate) channel: Arc<str>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Measured {
    /// Puts the counting around a channel's submitter.
    pub(crate) fn around(
        inner: Arc<dyn Submitter>,
        channel: Arc<str>,
        metrics: Arc<Metrics>,
    ) -> Arc<dyn Submitter> {
        let counters = &metrics.submitting;
        for counter in [
            &counters.received,
            &counters.successful,
            &counters.failures,
            &counters.duplicates,
            &counters.refused,
        ] {
            counter.with_label_values(&[channel.as_ref()]);
        }
        Arc::new(Self {
            inner,
            channel,
            metrics,
        })
    }
}

impl Measured {
    /// Counts how long a proposal took whose chaincode `name` names, and that began at `started`.
    fn time(&self, name: &str, started: Instant, is_endorsed: bool) {
        let counters = &self.metrics.submitting;
        let took = started.elapsed().as_secs_f64();
        let (chaincode, success) = if is_endorsed {
            (counters.chaincodes.learn(name), "true")
        } else {
            // A refused name is not worth a label.
            ("refused".to_owned(), "false")
        };
        let labels = [&*self.channel, chaincode.as_str(), success];
        counters.duration.with_label_values(&labels).observe(took);
    }

    /// Counts a proposal that was to be ordered at once.
    fn count(&self, name: &str, started: Instant, submitted: &Result<Submitted, SubmitError>) {
        self.time(name, started, submitted.is_ok());
        let counters = &self.metrics.submitting;
        let counter = match submitted {
            Ok(_) => Some(&counters.successful),
            Err(SubmitError::Chaincode(_)) => Some(&counters.failures),
            Err(SubmitError::Duplicate) => Some(&counters.duplicates),
            Err(SubmitError::Overloaded { .. }) => Some(&counters.refused),
            Err(
                SubmitError::ReadOnly
                | SubmitError::NotReady
                | SubmitError::StateUnavailable
                | SubmitError::OrdererUnavailable(_)
                | SubmitError::RefusedByOrderer { .. }
                | SubmitError::StorageFailed
                | SubmitError::TooLarge(_)
                | SubmitError::Refused(_)
                | SubmitError::Config(_)
                | SubmitError::Unendorsed(_),
            ) => None,
        };
        if let Some(counter) = counter {
            counter.with_label_values(&[&*self.channel]).inc();
        }
    }

    /// Counts a proposal of a client that orders it itself, or does not.
    fn count_answer(&self, name: &str, started: Instant, is_endorsed: bool) {
        self.time(name, started, is_endorsed);
        let counters = &self.metrics.submitting;
        let counter = if is_endorsed {
            &counters.successful
        } else {
            &counters.failures
        };
        counter.with_label_values(&[&*self.channel]).inc();
    }
}

impl Submitter for Measured {
    fn submit(self: Arc<Self>, proposal: Proposal) -> Invocation<Result<Submitted, SubmitError>> {
        let received = &self.metrics.submitting.received;
        received.with_label_values(&[&*self.channel]).inc();
        let chaincode = proposal.call.chaincode.clone();
        let started = Instant::now();
        let submitted = Arc::clone(&self.inner).submit(proposal);
        submitted.map(move |submitted| {
            self.count(&chaincode, started, &submitted);
            submitted
        })
    }

    fn evaluate(&self, proposal: Proposal) -> Invocation<Result<Evaluated, ChaincodeError>> {
        self.inner.evaluate(proposal)
    }

    fn propose(
        self: Arc<Self>,
        proposal: &UnpackedProposal,
        wanted: Wanted,
        meter: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError> {
        let received = &self.metrics.submitting.received;
        received.with_label_values(&[&*self.channel]).inc();
        let started = Instant::now();
        let chaincode = proposal.call().chaincode.clone();
        let answer = Arc::clone(&self.inner).propose(proposal, wanted, meter);
        let answer = answer.inspect_err(|error| {
            self.time(&chaincode, started, false);
            if matches!(error, ProposalError::Duplicate(_)) {
                let duplicates = &self.metrics.submitting.duplicates;
                duplicates.with_label_values(&[&*self.channel]).inc();
            }
        })?;
        Ok(answer.map(move |answer| {
            let status = answer.response.as_ref().map(|response| response.status);
            let is_good = match wanted {
                Wanted::Endorsement => answer.endorsement.is_some(),
                Wanted::Answer => status.is_some_and(|status| status < REFUSED),
            };
            self.count_answer(&chaincode, started, is_good);
            answer
        }))
    }

    fn order(&self, envelope: Bytes) -> Result<Promised, SubmitError> {
        self.inner.order(envelope)
    }

    fn orders_later(&self) -> bool {
        self.inner.orders_later()
    }

    fn is_pending(&self, tx_id: &str) -> bool {
        self.inner.is_pending(tx_id)
    }

    fn watch(&self, tx_id: &str) -> Watch {
        self.inner.watch(tx_id)
    }
}
