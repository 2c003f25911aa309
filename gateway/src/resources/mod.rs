//! The resources of the API, each in a file: the handlers, and what `/openapi.json` says about them.

pub(crate) mod backups;
pub(crate) mod batch;
pub(crate) mod block_event;
pub(crate) mod block_json;
pub(crate) mod blocks;
pub(crate) mod chaincodes;
pub(crate) mod channels;
pub(crate) mod config;
pub(crate) mod creator;
pub(crate) mod evaluate;
pub(crate) mod events;
pub(crate) mod find;
pub(crate) mod history;
pub(crate) mod indexes;
pub(crate) mod join;
pub(crate) mod operations;
pub(crate) mod state;
pub(crate) mod transactions;
