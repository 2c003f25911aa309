//! Affiliations.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::or_default;
use super::envelope::Answer;
use super::identities::Told;
use super::request::Asked;
use crate::affiliate::Affected;
use crate::affiliation::{Tree, is_within};
use crate::attribute::AFFILIATION_MGR;
use crate::authority::Authority;
use crate::caller::Caller;
use crate::error::{Code, Refusal};

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
}

/// A tree with the name of the CA.
#[derive(Serialize)]
struct Whole<T> {
    #[serde(flatten)]
    tree: T,
    caname: String,
}

/// An affiliation with the identities that have it.
#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    affiliations: Vec<Node<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identities: Vec<Told<'a>>,
}

impl<'a> Node<'a> {
    fn of(tree: &'a Tree, affected: &'a Affected) -> Self {
        let below = tree.affiliations.iter();
        let identities = affected.identities.iter();
        let identities = identities.filter(|identity| identity.affiliation == tree.name);
        Self {
            name: &tree.name,
            affiliations: below.map(|tree| Self::of(tree, affected)).collect(),
            identities: identities.map(|identity| Told::from(&**identity)).collect(),
        }
    }
}

fn whole(authority: &Authority, tree: impl Serialize) -> Result<Answer, Refusal> {
    let caname = authority.name().to_owned();
    Answer::of(StatusCode::OK, Whole { tree, caname })
}

fn whole_affected(authority: &Authority, affected: &Affected) -> Result<Answer, Refusal> {
    let tree = Tree::of(&affected.affiliations).unwrap_or_default();
    debug_assert!(
        affected
            .identities
            .iter()
            .all(|identity| is_within(&identity.affiliation, &tree.name))
    );
    whole(authority, Node::of(&tree, affected))
}

/// A caller with the right.
fn manager(authority: &Authority, asked: &Asked) -> Result<Caller, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    caller.check_right(AFFILIATION_MGR, Code::MissingRole)?;
    Ok(caller)
}

pub(super) fn list(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = manager(authority, asked)?;
    whole(authority, authority.affiliations(&caller)?)
}

pub(super) fn tell(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = manager(authority, asked)?;
    whole(authority, authority.affiliation(&caller, &asked.name()?)?)
}

pub(super) fn add(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = manager(authority, asked)?;
    let Body { name } = asked.body()?;
    authority.add_affiliation(&caller, &name, asked.query.flag("force")?)?;
    let result = json!({"name": name, "caname": authority.name()});
    Answer::of(StatusCode::CREATED, result)
}

pub(super) fn rename(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = manager(authority, asked)?;
    let Body { name } = asked.body()?;
    let force = asked.query.flag("force")?;
    let affected = authority.rename_affiliation(&caller, &asked.name()?, &name, force)?;
    whole_affected(authority, &affected)
}

pub(super) fn remove(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = manager(authority, asked)?;
    let force = asked.query.flag("force")?;
    let affected = authority.remove_affiliation(&caller, &asked.name()?, force)?;
    whole_affected(authority, &affected)
}
