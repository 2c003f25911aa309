//! What the process of a chaincode asks for, and the answers.
//!
//! Errors of the chaincode's making are told to it in Fabric's words; those of the ledger end the call.

use std::collections::BTreeMap;

use bytes::Bytes;
use quire_ledger::{FindError, QueryError, ReadError, Simulator};
use quire_wire::Message;
use quire_wire::peer::{ChaincodeSpec, SignedProposal};
use quire_wire::shim::{
    ChaincodeMessage, DelState, GetHistoryForKey, GetQueryResult, GetState, GetStateByRange,
    GetStateMetadata, GetStateMultiple, GetStateMultipleResult, MessageType, PutState,
    PutStateMetadata, QueryMetadata, QueryResponse, QueryStateClose, QueryStateNext, StateMetadata,
    StateMetadataResult, WriteBatchState, WriteRecord,
};

use super::host::Callee;
use super::limits::Limits;
use super::place::{Place, private_hash, public, unsupported};
use super::rows::{Documents, Rows};
use crate::chaincode::ChaincodeError;
use crate::proposed::Transaction;
use crate::reach::Reach;

/// What a read or write makes the node hold beside its bytes.
const ENTRY_BYTES: usize = 64;
/// What a range makes it hold.
const RANGE_BYTES: usize = 4096;

/// What a call has open, and knows of itself.
#[derive(Debug)]
pub(super) struct Asking {
    /// The chaincode's, and of all keys that it names.
    pub(super) namespace: String,
    pub(super) channel: String,
    pub(super) tx_id: String,
    pub(super) proposal: SignedProposal,
    reach: Reach,
    /// The private collection whose values this node keeps.
    own_collection: Option<String>,
    queries: BTreeMap<String, Rows>,
    /// Queries that were opened so far: they are named by their numbers.
    opened: u64,
}

/// What a request comes to.
#[derive(Debug)]
pub(super) enum Answered {
    /// This is the answer, which makes the node hold so many bytes until the transaction ends.
    With { payload: Bytes, held: usize },
    /// Another chaincode has the answer.
    By(Box<Callee>),
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The chaincode is told.
    Say(String),
    /// The call ends.
    End(ChaincodeError),
}

impl Failure {
    pub(super) fn say(why: &impl ToString) -> Self {
        Self::Say(why.to_string())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            // Another node of the organisation has it.
            ReadError::PrivateMissing { .. } => Self::say(&error),
            error => Self::End(error.into()),
        }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Query(error) => Self::say(&error),
            FindError::Read(_) | FindError::TooExpensive(_) => Self::End(error.into()),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::say(&error)
    }
}

impl Asking {
    pub(super) fn new(
        namespace: &str,
        transaction: &Transaction,
        own_collection: Option<&str>,
    ) -> Self {
        Self {
            namespace: namespace.to_owned(),
            channel: transaction.channel.clone(),
            tx_id: transaction.tx_id.clone(),
            proposal: transaction.proposal.clone(),
            reach: transaction.reach.clone(),
            own_collection: own_collection.map(str::to_owned),
            queries: BTreeMap::new(),
            opened: 0,
        }
    }

    /// Answers a request.
    pub(super) fn answer(
        &mut self,
        kind: MessageType,
        request: &ChaincodeMessage,
        simulator: &mut Simulator,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        use MessageType as M;
        let payload = request.payload.clone();
        match kind {
            M::GetState => self.get(&read(payload)?, simulator),
            M::GetStateMultiple => self.get_multiple(&read(payload)?, simulator),
            M::PutState => self.put(&read(payload)?, simulator).map(nothing),
            M::DelState => self.delete(&read(payload)?, simulator).map(nothing),
            M::WriteBatchState => self.write_batch(read(payload)?, simulator),
            M::GetStateMetadata => self.metadata(&read(payload)?, simulator),
            M::PutStateMetadata => self.put_metadata(read(payload)?, simulator).map(nothing),
            M::GetStateByRange => self.range(read(payload)?, simulator, limits),
            M::GetQueryResult => self.query(&read(payload)?, simulator, limits),
            M::GetHistoryForKey => self.history(read(payload)?, simulator, limits),
            M::QueryStateNext => self.go_on(&read(payload)?, simulator, limits),
            M::QueryStateClose => Ok(self.close(read(payload)?)),
            M::InvokeChaincode => self.call(read(payload)?),
            M::GetPrivateDataHash => self.private_hash(&read(payload)?, simulator),
            M::PurgePrivateData => {
                let purge: DelState = read(payload)?;
                public(&purge.collection)?;
                Err(Failure::say(&"only applicable for private data"))
            }
            other => Err(Failure::Say(format!("{} asks for nothing", other.name()))),
        }
    }

    /// The keys that a request is about.
    fn place<'a>(&'a self, collection: &'a str) -> Result<Place<'a>, Failure> {
        Place::of(&self.namespace, collection, self.own_collection.as_deref())
    }

    fn get(&self, asked: &GetState, simulator: &mut Simulator) -> Result<Answered, Failure> {
        let place = self.place(&asked.collection)?;
        let payload = place.get(&asked.key, simulator)?;
        let held = asked.key.len() + ENTRY_BYTES;
        Ok(Answered::With { payload, held })
    }

    fn private_hash(
        &self,
        asked: &GetState,
        simulator: &mut Simulator,
    ) -> Result<Answered, Failure> {
        let GetState { collection, key } = asked;
        let payload = private_hash(&self.namespace, collection, key, simulator)?;
        let held = key.len() + ENTRY_BYTES;
        Ok(Answered::With { payload, held })
    }

    fn get_multiple(
        &self,
        asked: &GetStateMultiple,
        simulator: &mut Simulator,
    ) -> Result<Answered, Failure> {
        let place = self.place(&asked.collection)?;
        if place.is_public() {
            let names = asked.keys.iter();
            let names = names.map(|key| (self.namespace.clone(), key.clone()));
            simulator.expect(names.collect())?;
        }
        let mut held = 0;
        let mut result = GetStateMultipleResult::default();
        for key in &asked.keys {
            held += key.len() + ENTRY_BYTES;
            result.values.push(place.get(key, simulator)?);
        }
        Ok(Answered::With {
            payload: result.encode_to_vec().into(),
            held,
        })
    }

    fn put(&self, asked: &PutState, simulator: &mut Simulator) -> Result<usize, Failure> {
        let place = self.place(&asked.collection)?;
        self.may_write(simulator)?;
        let held = asked.key.len() + asked.value.len() + ENTRY_BYTES;
        // Its message may be much larger than it.
        let value = Bytes::copy_from_slice(&asked.value);
        place.put(&asked.key, value, simulator);
        Ok(held)
    }

    fn delete(&self, asked: &DelState, simulator: &mut Simulator) -> Result<usize, Failure> {
        let place = self.place(&asked.collection)?;
        self.may_write(simulator)?;
        place.delete(&asked.key, simulator);
        Ok(asked.key.len() + ENTRY_BYTES)
    }

    fn put_metadata(
        &self,
        asked: PutStateMetadata,
        simulator: &mut Simulator,
    ) -> Result<usize, Failure> {
        let place = self.place(&asked.collection)?;
        let metadata = asked.metadata;
        let StateMetadata { metakey, value } =
            metadata.ok_or_else(|| Failure::say(&"the metadata are missing"))?;
        self.may_write(simulator)?;
        let held = asked.key.len() + metakey.len() + value.len() + ENTRY_BYTES;
        let metadata = [(metakey, Bytes::copy_from_slice(&value))].into();
        place.set_metadata(&asked.key, metadata, simulator);
        Ok(held)
    }

    fn write_batch(
        &self,
        asked: WriteBatchState,
        simulator: &mut Simulator,
    ) -> Result<Answered, Failure> {
        let mut held = 0;
        for record in asked.rec {
            let kind = MessageType::try_from(record.r#type);
            let WriteRecord {
                key,
                value,
                collection,
                metadata,
                ..
            } = record;
            held += match kind {
                Ok(MessageType::PutState) => {
                    let put = PutState {
                        key,
                        value,
                        collection,
                    };
                    self.put(&put, simulator)?
                }
                Ok(MessageType::DelState) => {
                    self.delete(&DelState { key, collection }, simulator)?
                }
                Ok(MessageType::PutStateMetadata) => {
                    let put = PutStateMetadata {
                        key,
                        collection,
                        metadata: Some(metadata.unwrap_or_default()),
                    };
                    self.put_metadata(put, simulator)?
                }
                Ok(MessageType::PurgePrivateData) => return Err(unsupported(&collection)),
                _ => return Err(Failure::say(&"unknown operation type")),
            };
        }
        Ok(nothing(held))
    }

    fn metadata(
        &self,
        asked: &GetStateMetadata,
        simulator: &mut Simulator,
    ) -> Result<Answered, Failure> {
        let place = self.place(&asked.collection)?;
        let metadata = place.metadata(&asked.key, simulator)?.into_iter();
        let entries = metadata.map(|(metakey, value)| StateMetadata { metakey, value });
        let entries = entries.collect();
        let result = StateMetadataResult { entries };
        Ok(Answered::With {
            payload: result.encode_to_vec().into(),
            held: asked.key.len() + ENTRY_BYTES,
        })
    }

    fn range(
        &mut self,
        asked: GetStateByRange,
        simulator: &mut Simulator,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        let page = Page::read(asked.metadata)?;
        public(&asked.collection)?;
        self.may_open(limits)?;
        let (start, page) = match page {
            None => (asked.start_key, (false, limits.rows)),
            Some(page) => {
                self.may_page(simulator)?;
                let most = page.most(limits);
                let is_first = page.bookmark.is_empty();
                let start = if is_first {
                    asked.start_key
                } else {
                    page.bookmark
                };
                (start, (true, most))
            }
        };
        let range = simulator.open_range(&self.namespace, &start, &asked.end_key);
        let held = start.len() + asked.end_key.len() + RANGE_BYTES;
        self.open(Rows::of_range(range), page, held, simulator)
    }

    fn query(
        &mut self,
        asked: &GetQueryResult,
        simulator: &mut Simulator,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        let page = Page::read(asked.metadata.clone())?;
        public(&asked.collection)?;
        self.may_open(limits)?;
        let (bookmark, is_page, most) = match page {
            None => (String::new(), false, limits.rows),
            Some(page) => {
                self.may_page(simulator)?;
                let most = page.most(limits);
                (page.bookmark, true, most)
            }
        };
        let page = is_page.then_some(most);
        let documents = Documents::parse(&self.namespace, &asked.query, bookmark, page)?;
        let held = asked.query.len() + RANGE_BYTES;
        let rows = Rows::of_documents(documents);
        self.open(rows, (is_page, most), held, simulator)
    }

    fn history(
        &mut self,
        asked: GetHistoryForKey,
        simulator: &mut Simulator,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        self.may_open(limits)?;
        let rows = Rows::of_past(&self.namespace, asked.key);
        self.open(rows, (false, limits.rows), 0, simulator)
    }

    /// Opens a query, and answers with its first rows.
    fn open(
        &mut self,
        mut rows: Rows,
        page: (bool, usize),
        held: usize,
        simulator: &mut Simulator,
    ) -> Result<Answered, Failure> {
        self.opened += 1;
        let id = self.opened.to_string();
        let (response, more) = rows.batch(simulator, &id, page)?;
        let mut held = held + more;
        if response.has_more {
            held += rows.ahead_bytes();
            self.queries.insert(id, rows);
        }
        Ok(with(&response, held))
    }

    fn go_on(
        &mut self,
        asked: &QueryStateNext,
        simulator: &mut Simulator,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        let rows = self.queries.get_mut(&asked.id);
        let rows = rows.ok_or_else(|| Failure::say(&"query iterator not found"))?;
        let batch = rows.batch(simulator, &asked.id, (false, limits.rows));
        if !matches!(&batch, Ok((response, _)) if response.has_more) {
            self.queries.remove(&asked.id);
        }
        let (response, held) = batch?;
        Ok(with(&response, held))
    }

    fn close(&mut self, asked: QueryStateClose) -> Answered {
        self.queries.remove(&asked.id);
        let response = QueryResponse {
            id: asked.id,
            ..QueryResponse::default()
        };
        with(&response, 0)
    }

    /// Whom to call. The name is `chaincode:version/channel`, of which Fabric looks at the chaincode and the
    /// channel.
    fn call(&self, asked: ChaincodeSpec) -> Result<Answered, Failure> {
        let id = asked.chaincode_id;
        let name = id
            .ok_or_else(|| Failure::say(&"the chaincode's name is missing"))?
            .name;
        let (name, channel) = name.split_once('/').unwrap_or((&name, ""));
        let (chaincode, _) = name.split_once(':').unwrap_or((name, ""));
        let channel = Some(channel).filter(|channel| !channel.is_empty());
        let mut input = asked.input.unwrap_or_default();
        input.decorations.clear();
        Ok(Answered::By(Box::new(Callee {
            chaincode: chaincode.to_owned(),
            from: self.channel.clone(),
            transaction: Transaction {
                channel: channel.unwrap_or(&self.channel).to_owned(),
                tx_id: self.tx_id.clone(),
                input,
                proposal: self.proposal.clone(),
                reach: self.reach.clone(),
            },
        })))
    }

    fn may_open(&self, limits: &Limits) -> Result<(), Failure> {
        if self.queries.len() >= limits.iterators {
            let most = limits.iterators;
            return Err(Failure::Say(format!(
                "{most} iterators are open, which is the most"
            )));
        }
        Ok(())
    }

    /// Fabric's rule and its words.
    fn may_write(&self, simulator: &Simulator) -> Result<(), Failure> {
        if simulator.is_paged() {
            return Err(Failure::Say(format!(
                "txid [{}]: unsuppored transaction. Transaction has already performed a paginated query. \
                 Writes are not allowed",
                self.tx_id
            )));
        }
        Ok(())
    }

    /// Fabric's rule and its words.
    fn may_page(&self, simulator: &mut Simulator) -> Result<(), Failure> {
        if simulator.is_writing() {
            return Err(Failure::Say(format!(
                "txid [{}]: unsuppored transaction. Paginated queries are supported only in a read-only \
                 transaction",
                self.tx_id
            )));
        }
        simulator.reads_pages();
        Ok(())
    }
}

/// Which page is asked for.
struct Page {
    size: i32,
    bookmark: String,
}

impl Page {
    /// None where the question is for no page.
    fn read(metadata: Bytes) -> Result<Option<Self>, Failure> {
        let QueryMetadata {
            page_size,
            bookmark,
        } = read(metadata)?;
        let is_page = page_size != 0 || !bookmark.is_empty();
        Ok(is_page.then_some(Self {
            size: page_size,
            bookmark,
        }))
    }

    /// Most rows of it.
    fn most(&self, limits: &Limits) -> usize {
        let size = usize::try_from(self.size).unwrap_or_default();
        if size == 0 {
            limits.rows
        } else {
            size.min(limits.rows)
        }
    }
}

fn read<M: Message + Default>(payload: Bytes) -> Result<M, Failure> {
    M::decode(payload).map_err(|error| Failure::Say(format!("unmarshal failed: {error}")))
}

fn nothing(held: usize) -> Answered {
    Answered::With {
        payload: Bytes::new(),
        held,
    }
}

fn with(response: &QueryResponse, held: usize) -> Answered {
    Answered::With {
        payload: response.encode_to_vec().into(),
        held,
    }
}
