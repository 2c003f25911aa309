//! The part of a document that is shown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{Document, is_reserved};
use super::path::{Path, position};
use crate::json;

/// The fields that a query shows, as a tree of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    /// The first place is the document; the list is empty if all of it is shown. All places are in one list,
    /// so that even the longest path can be dropped without recursion.
    places: Vec<Place>,
    /// The number of names in the longest path.
    depth: usize,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// The field that leads here; if there are several, the first.
    field: Option<usize>,
    /// The place in the list for each name.
    inside: BTreeMap<String, usize>,
}

/// The places inside a place that a text has: each with its name and value as they are written.
type Texts<'a> = BTreeMap<usize, (Cow<'a, str>, &'a str)>;

/// A member that is shown.
struct Shown<'a> {
    /// The first field that is found here or inside, which decides the order.
    field: usize,
    name: Cow<'a, str>,
    what: What<'a>,
}

enum What<'a> {
    Whole(&'a str),
    Members(Vec<Shown<'a>>),
}

impl Fields {
    pub(super) fn new(paths: &[Path]) -> Self {
        let lengths = paths.iter().map(|path| path.names().len());
        let mut fields = Self {
            places: Vec::new(),
            depth: lengths.max().unwrap_or_default(),
        };
        if !paths.is_empty() {
            fields.places.push(Place::default());
        }
        for (field, path) in paths.iter().enumerate() {
            let names = path.names().iter();
            let at = names.fold(0, |at, name| fields.inside(at, name));
            if let Some(place) = fields.places.get_mut(at) {
                place.field.get_or_insert(field);
            }
        }
        fields
    }

    fn inside(&mut self, at: usize, name: &str) -> usize {
        let next = self.places.len();
        let Some(place) = self.places.get_mut(at) else {
            return at;
        };
        if let Some(known) = place.inside.get(name) {
            return *known;
        }
        place.inside.insert(name.to_owned(), next);
        self.places.push(Place::default());
        next
    }

    /// The steps of showing a document of that many bytes: every name on a path costs a walk over the object
    /// around it.
    pub(super) fn weight(&self, bytes: usize) -> u64 {
        let walks = self.depth as u64 + 1;
        self.places.len() as u64 + walks.saturating_mul(bytes as u64 / 4)
    }

    /// The document as it is shown: a new document of the fields that it has, in their order. Each has its
    /// bytes from `value`, the text from which the document was read.
    pub(super) fn show(&self, document: &Document, value: &str) -> String {
        let Some(root) = self.places.first() else {
            return document.text(value);
        };
        let reserved = ["_id", "_rev"].map(|name| (name, document.reserved(name)));
        let mut texts = root.texts(value, &is_reserved);
        for (name, text) in &reserved {
            if let Some(place) = root.inside.get(*name) {
                texts.insert(*place, (quoted(name), text));
            }
        }
        let mut shown = String::new();
        write(&self.shown(texts), &mut shown);
        shown
    }

    fn shown<'a>(&self, texts: Texts<'a>) -> Vec<Shown<'a>> {
        let members = texts.into_iter().filter_map(|(place, (name, text))| {
            let place = self.places.get(place)?;
            let inside = self.shown(place.texts(text, &|_| false));
            let first = inside.first().map(|first| first.field);
            let field = place.field.into_iter().chain(first).min()?;
            let what = match place.field {
                Some(_) => What::Whole(text),
                None => What::Members(inside),
            };
            Some(Shown { field, name, what })
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|member| member.field);
        members
    }
}

impl Place {
    /// The places inside this one that a value has. Of repeated members the last counts.
    fn texts<'a>(&self, value: &'a str, hides: &dyn Fn(&str) -> bool) -> Texts<'a> {
        let mut texts = Texts::new();
        if self.inside.is_empty() {
            return texts;
        }
        let mut member = |part: json::Part<'a>| {
            if let Some(place) = self.inside.get(&*part.name)
                && !hides(&part.name)
            {
                texts.insert(*place, (Cow::Borrowed(part.name_text), part.text));
            }
        };
        // The text was read before, so an error only means that it has no members.
        drop(json::members(value, &mut member));
        if !value.starts_with('[') {
            return texts;
        }
        let mut names: BTreeMap<usize, Vec<(&str, usize)>> = BTreeMap::new();
        for (name, place) in &self.inside {
            if let Some(position) = position(name) {
                names.entry(position).or_default().push((name, *place));
            }
        }
        let mut at = 0;
        let mut element = |text: &'a str| {
            for (name, place) in names.get(&at).into_iter().flatten() {
                texts.insert(*place, (quoted(name), text));
            }
            at += 1;
        };
        drop(json::elements(value, &mut element));
        texts
    }
}

fn quoted(name: &str) -> Cow<'static, str> {
    Cow::Owned(Value::from(name).to_string())
}

fn write(members: &[Shown<'_>], out: &mut String) {
    out.push('{');
    for (position, Shown { name, what, .. }) in members.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.extend([name, ":"]);
        match what {
            What::Whole(text) => out.push_str(text),
            What::Members(inside) => write(inside, out),
        }
    }
    out.push('}');
}
