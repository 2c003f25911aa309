//! JSON merge patch (RFC 7396) from text to text.

use std::collections::{HashMap, HashSet};

use super::{JsonError, MAX_DEPTH, Node, Shape, read, read_stored};

/// The text that `patch` makes of `target`: members that are `null` in the patch go, objects merge,
/// everything else replaces. A target or a patch that is not an object is replaced or replaces.
///
/// What the patch does not touch keeps its text and its place; new members come last, in the
/// patch's order. Only the objects on the way to a change lose the white space between members.
///
/// # Errors
/// [`JsonError`] where `target` or `patch` does not pass [`super::check`] with [`MAX_DEPTH`], but that
/// the target's numbers may be as long as they like. The
/// result passes it then, but may have reserved members.
pub fn merge(target: &[u8], patch: &[u8]) -> Result<String, JsonError> {
    Ok(merge_nodes(
        &read_stored(target, MAX_DEPTH)?,
        &read(patch, MAX_DEPTH)?,
    ))
}

/// [`merge`] for texts that were read before.
pub(crate) fn merge_nodes(target: &Node<'_>, patch: &Node<'_>) -> String {
    let mut merged = String::with_capacity(target.text.len() + patch.text.len());
    write_merged(&mut merged, Some(target), patch);
    merged
}

fn write_merged(out: &mut String, target: Option<&Node<'_>>, patch: &Node<'_>) {
    let Shape::Object(changes) = &patch.shape else {
        out.push_str(patch.text);
        return;
    };
    let kept = match target.map(|target| (target.text, &target.shape)) {
        Some((text, Shape::Object(_))) if changes.is_empty() => {
            out.push_str(text);
            return;
        }
        Some((_, Shape::Object(members))) => members.as_slice(),
        _ => &[],
    };
    let change_of: HashMap<&str, &Node<'_>> = changes
        .iter()
        .map(|change| (&*change.name, &change.value))
        .collect();
    let kept_names: HashSet<&str> = kept.iter().map(|member| &*member.name).collect();

    let mut members = Members::open(out);
    for member in kept {
        match change_of.get(&*member.name) {
            None => members.name(member.name_text).push_str(member.value.text),
            Some(change) if matches!(change.shape, Shape::Null) => {}
            Some(change) => {
                write_merged(members.name(member.name_text), Some(&member.value), change);
            }
        }
    }
    for change in changes {
        let is_new = !kept_names.contains(&*change.name);
        if is_new && !matches!(change.value.shape, Shape::Null) {
            write_merged(members.name(change.name_text), None, &change.value);
        }
    }
    members.close();
}

/// Writes the members of one object.
struct Members<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl<'o> Members<'o> {
    fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self {
            out,
            is_first: true,
        }
    }

    /// Begins a member; its value is to be written to what this returns.
    fn name(&mut self, name_text: &str) -> &mut String {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
        self.out.push_str(name_text);
        self.out.push(':');
        self.out
    }

    fn close(self) {
        self.out.push('}');
    }
}
