//! `/v1/channels/{channel}/blocks`: blocks by number, hash, transaction, and in pages.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use quire_chaincode::Listing;
use quire_ledger::Block;
use quire_peer::Channel;
use quire_wire::Message;

use super::block_json;
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::reply::pages;
use crate::request::accept::{Form, negotiate, not_acceptable};
use crate::request::body;
use crate::request::path;
use crate::request::url_query::{UrlQuery, number};

/// The blocks of a page without `limit`, and the most blocks of a page.
const PAGE_BLOCKS: (usize, usize) = (10, 100);

/// The block that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Latest,
    Number(u64),
    Hash(Vec<u8>),
    Transaction(String),
}

/// `GET .../blocks/{number|latest}`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/blocks/{number}",
    tag = "chain",
    operation_id = "getBlock",
    summary = "A block",
    responses((
        status = 200,
        description = "Decoded, or Fabric's common.Block.",
        content(
            (serde_json::Value = "application/json"),
            (Vec<u8> = "application/x-protobuf")
        )
    ))
)]
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    UrlQuery::none(request.uri())?;
    let item = path::item(request.uri())?;
    let wanted = match item.as_str() {
        "latest" => Wanted::Latest,
        text => Wanted::Number(
            number(text)
                .ok_or_else(|| Problem::invalid_argument("A block is a number, or latest."))?,
        ),
    };
    let form = negotiate(request.headers())?;
    let answered = gateway
        .pools
        .work(move || one(&channel, &wanted, form))
        .await;
    answered.map_err(reply::negotiated_problem)
}

/// `GET .../blocks?hash=`, `?transactionId=`, `?from=&limit=`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/blocks",
    tag = "chain",
    operation_id = "findBlocks",
    summary = "Blocks by hash, by transaction, or in pages",
    params(
        ("hash" = Option<String>, Query, description = "The block with this hash."),
        ("transactionId" = Option<String>, Query, description = "The block with this transaction."),
        ("from" = Option<u64>, Query, description = "The first block of the first page."),
        ("limit" = Option<u64>, Query, description = "Blocks of a page, 1 to 100; 10 without."),
        ("bookmark" = Option<String>, Query, description = "Of the page before.")
    ),
    responses((
        status = 200,
        description = "One block, or a page of them.",
        content(
            (serde_json::Value = "application/json"),
            (Vec<u8> = "application/x-protobuf")
        )
    ))
)]
pub(crate) async fn find(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    let allowed = ["hash", "transactionId", "from", "limit", "bookmark"];
    let query = UrlQuery::parse(request.uri(), &allowed)?;
    let form = negotiate(request.headers())?;
    let is_page = allowed.iter().skip(2).any(|name| query.get(name).is_some());
    let wanted = match (query.get("hash"), query.get("transactionId"), is_page) {
        (Some(hash), None, false) => Wanted::Hash(
            hex::decode(hash).map_err(|_| Problem::invalid_argument("hash is not hexadecimal."))?,
        ),
        (None, Some(tx_id), false) => Wanted::Transaction(tx_id.to_owned()),
        (None, None, _) => {
            if form != Form::Json {
                return Err(not_acceptable("application/json"));
            }
            let first = First::of(&query, &channel)?;
            let limit = query.limit(PAGE_BLOCKS.0, PAGE_BLOCKS.1)?;
            return page(&gateway, channel, first, limit).await;
        }
        _ => {
            return Err(Problem::invalid_argument(
                "hash, transactionId and from exclude each other.",
            ));
        }
    };
    let answered = gateway
        .pools
        .work(move || one(&channel, &wanted, form))
        .await;
    answered.map_err(reply::negotiated_problem)
}

fn one(channel: &Channel, wanted: &Wanted, form: Form) -> Result<Response, Problem> {
    let reader = &channel.reader;
    let height = reader.height();
    let number = match wanted {
        Wanted::Latest => height.checked_sub(1),
        Wanted::Number(number) => Some(*number),
        Wanted::Hash(hash) => reader.block_number_by_hash(hash)?,
        Wanted::Transaction(tx_id) => {
            let location = reader.transaction(tx_id)?.ok_or_else(|| {
                let detail = format!("There is no transaction {tx_id} in a block.");
                Problem::new(ProblemKind::TransactionNotFound, detail)
            })?;
            Some(location.height.block)
        }
    };
    let block = match number {
        Some(number) => reader.block(number)?,
        None => None,
    };
    let block = block.ok_or_else(|| {
        let detail = format!("There is no such block; the height is {height}.");
        Problem::new(ProblemKind::BlockNotFound, detail)
    })?;
    let response = match form {
        Form::Protobuf => reply::protobuf(block.to_message().encode_to_vec()),
        Form::Json => reply::json(StatusCode::OK, &block_json::block(&block))?,
    };
    // The block may be younger than the height that was read before it.
    let response = reply::at_height(response, height.max(block.number + 1));
    Ok(reply::negotiated(response))
}

/// The first block of a page, and of the first page of its listing.
#[derive(Clone, Copy, Debug)]
struct First {
    of_all: u64,
    of_page: u64,
}

impl First {
    /// Reads `from` and `bookmark`. Pages go on to the end of the chain, so a bookmark makes `from`
    /// superfluous, and it may be left out; another `from` would mean another listing.
    fn of(query: &UrlQuery, channel: &Channel) -> Result<Self, Problem> {
        let from = query.number("from")?;
        let Some(bookmark) = query.get("bookmark") else {
            let from = from.unwrap_or(0);
            return Ok(Self {
                of_all: from,
                of_page: from,
            });
        };
        let place = Listing(&["blocks", &channel.name]).place(bookmark);
        let first = place.and_then(|place| {
            let (of_all, of_page) = place.split_once('.')?;
            Some(Self {
                of_all: number(of_all)?,
                of_page: number(of_page)?,
            })
        });
        let first = first.filter(|first| from.is_none_or(|from| from == first.of_all));
        first.ok_or_else(|| {
            Problem::invalid_argument(
                "The bookmark is not one of these blocks: it goes with the channel and from of the \
                 page that it came with.",
            )
        })
    }

    /// The bookmark of a page that is not the last.
    fn bookmark(self, next: u64, channel: &Channel) -> String {
        let place = format!("{}.{next}", self.of_all);
        Listing(&["blocks", &channel.name]).bookmark(&place)
    }
}

/// The blocks of a page, each read when it is written.
struct Blocks {
    channel: Channel,
    first: First,
    next: u64,
    /// The height of the chain when the page began.
    height: u64,
    left: usize,
    /// Bytes of envelopes that were written, and their limit.
    bytes: usize,
    max_bytes: usize,
}

impl pages::Page for Blocks {
    const MEMBER: &'static str = "blocks";

    fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
        if self.next >= self.height || self.left == 0 || self.bytes > self.max_bytes {
            return Ok(false);
        }
        let Some(block) = self.channel.reader.block(self.next)? else {
            return Ok(false);
        };
        serde_json::to_writer(out, &block_json::block(&block)).map_err(Problem::internal)?;
        self.bytes += size(&block);
        self.next += 1;
        self.left -= 1;
        Ok(true)
    }

    /// A block that was not written is on the next page anyway.
    fn cut(&mut self) {}

    fn bookmark(&self) -> Option<String> {
        (self.next < self.height).then(|| self.first.bookmark(self.next, &self.channel))
    }
}

async fn page(
    gateway: &Arc<Gateway>,
    channel: Channel,
    first: First,
    limit: usize,
) -> Result<Response, Problem> {
    let height = channel.reader.height();
    let blocks = Blocks {
        channel,
        first,
        next: first.of_page,
        height,
        left: limit,
        bytes: 0,
        max_bytes: gateway.limits.page_bytes,
    };
    let body = pages::body(gateway, blocks).await?;
    let response = reply::of_type(body::JSON, body, StatusCode::OK);
    Ok(reply::negotiated(reply::at_height(response, height)))
}

fn size(block: &Block) -> usize {
    block.envelopes.iter().map(bytes::Bytes::len).sum()
}
