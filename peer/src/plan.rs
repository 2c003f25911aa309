//! Who is asked for endorsements, who next where somebody fails, and when those that came suffice.

use std::cmp::Reverse;
use std::sync::Arc;

use quire_identity::Identity;

use crate::discovery::{Descriptor, Meaning, Who};
use crate::others::RemotePeer;

/// The place of this node among the peers of a plan. The others follow.
pub(crate) const OWN: usize = 0;

/// Layouts of peers that suffice together.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Those beside this node.
    others: Vec<RemotePeer>,
    groups: Vec<Group>,
    /// How many peers of which group.
    layouts: Vec<Vec<(usize, usize)>>,
}

#[derive(Clone, Debug)]
struct Group {
    /// Whom it means; none where it is an organisation that a client named.
    meaning: Option<Meaning>,
    members: Vec<usize>,
}

/// What became of a peer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Untried,
    Asked,
    Endorsed,
    Failed,
}

/// How far a plan is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    stages: Vec<Stage>,
    groups: Vec<Group>,
    /// Which layouts and peers come first where nothing else decides: calls take turns.
    turn: usize,
}

impl Plan {
    /// Of a descriptor whose candidates are this node and `others`.
    pub(crate) fn new(descriptor: &Descriptor, others: Vec<RemotePeer>) -> Self {
        let names: Vec<&String> = descriptor.groups.keys().collect();
        let groups = descriptor.groups.iter().map(|(name, members)| Group {
            meaning: descriptor.meanings.get(name).cloned(),
            members: members.clone(),
        });
        let layouts = descriptor.layouts.iter().map(|layout| {
            let counted = layout.iter().filter_map(|(name, count)| {
                let group = names.binary_search(&name).ok()?;
                Some((group, usize::try_from(*count).unwrap_or(usize::MAX)))
            });
            counted.collect()
        });
        Self {
            groups: groups.collect(),
            layouts: layouts.collect(),
            others,
        }
    }

    /// One peer of each of these organisations, of which one may be this node's. `itself` is where that is.
    ///
    /// # Errors
    /// Those of which no peer is known.
    pub(crate) fn of_organizations<'n>(
        named: &'n [String],
        (own, itself): (&str, &str),
        others: &[RemotePeer],
    ) -> Result<Self, Vec<&'n str>> {
        let (mut groups, mut layout) = (Vec::new(), Vec::new());
        let mut missing = Vec::new();
        let mut distinct: Vec<&'n str> = Vec::new();
        for name in named {
            if distinct.contains(&name.as_str()) {
                continue;
            }
            distinct.push(name);
            let theirs = (1..).zip(others);
            let theirs =
                theirs.filter(|(_, peer)| *peer.msp_id == **name && *peer.address != *itself);
            let first = (name == own).then_some(OWN);
            let members: Vec<usize> = first
                .into_iter()
                .chain(theirs.map(|(position, _)| position))
                .collect();
            if members.is_empty() {
                missing.push(name.as_str());
            }
            layout.push((groups.len(), 1));
            groups.push(Group {
                meaning: None,
                members,
            });
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok(Self {
            others: others.to_vec(),
            groups,
            layouts: vec![layout],
        })
    }

    /// Whether this node's endorsement suffices.
    pub(crate) fn is_own_enough(&self) -> bool {
        self.layouts.iter().any(|layout| {
            let [(group, 1)] = layout.as_slice() else {
                return false;
            };
            let group = self.groups.get(*group);
            group.is_some_and(|group| group.members.contains(&OWN))
        })
    }

    /// Whether peers of these organisations suffice, of which one may be `own`.
    pub(crate) fn is_within(&self, own: &str, among: impl Fn(&str) -> bool) -> bool {
        let all = self.begin(true, 0);
        let usable = |position: usize| {
            let organization = self.peer(position).map_or(own, |peer| &peer.msp_id);
            among(organization).then_some(0)
        };
        let mut layouts = self.layouts.iter();
        layouts.any(|layout| all.assign(layout, usable).is_some())
    }

    /// The number of places that keeping it takes.
    pub(crate) fn size(&self) -> usize {
        let layouts: usize = self.layouts.iter().map(Vec::len).sum();
        layouts + self.others.len() + self.groups.len()
    }

    pub(crate) fn peer(&self, position: usize) -> Option<&RemotePeer> {
        self.others.get(position.checked_sub(1)?)
    }

    /// Where a peer stands among those of the plan.
    pub(crate) fn position(&self, peer: &RemotePeer) -> Option<usize> {
        let place = self.others.iter().position(|one| one == peer)?;
        Some(place + 1)
    }

    /// Nobody was asked yet but this node, which has endorsed or will not.
    pub(crate) fn begin(&self, has_own: bool, turn: usize) -> Progress {
        let own = if has_own {
            Stage::Endorsed
        } else {
            Stage::Failed
        };
        let others = self.others.iter().map(|_| Stage::Untried);
        Progress {
            stages: std::iter::once(own).chain(others).collect(),
            groups: self.groups.clone(),
            turn,
        }
    }

    /// The peers whose endorsements suffice, once there are some.
    pub(crate) fn sufficient(&self, progress: &Progress) -> Option<Vec<usize>> {
        let endorsed = |position| (progress.stage(position) == Stage::Endorsed).then_some(0);
        let mut layouts = self.layouts.iter();
        let mut chosen = layouts.find_map(|layout| progress.assign(layout, endorsed))?;
        chosen.sort_unstable();
        Some(chosen)
    }

    /// The peers to ask now, so that with those that have endorsed and those that are being asked some layout is
    /// complete; `None` if none can be.
    pub(crate) fn next(
        &self,
        progress: &Progress,
        is_away: impl Fn(&RemotePeer) -> bool,
    ) -> Option<Vec<usize>> {
        let away: Vec<bool> = self.others.iter().map(is_away).collect();
        let is_away = |position: usize| position > 0 && away.get(position - 1) == Some(&true);
        let usable = |position: usize| match progress.stage(position) {
            Stage::Endorsed => Some(0),
            Stage::Asked => Some(1),
            Stage::Untried if !is_away(position) => Some(2),
            Stage::Untried => Some(3),
            Stage::Failed => None,
        };
        let untried = |chosen: Vec<usize>| -> Vec<usize> {
            let chosen = chosen.into_iter();
            chosen
                .filter(|position| progress.stage(*position) == Stage::Untried)
                .collect()
        };
        let count = self.layouts.len().max(1);
        let possible = self
            .layouts
            .iter()
            .enumerate()
            .filter_map(|(place, layout)| {
                let wanted = untried(progress.assign(layout, usable)?);
                let far = wanted.iter().filter(|position| is_away(**position)).count();
                Some((
                    (far, wanted.len(), place.wrapping_add(progress.turn) % count),
                    wanted,
                ))
            });
        let best = possible.min_by_key(|(cost, _)| *cost);
        best.map(|(_, wanted)| wanted)
    }
}

impl Plan {
    /// Another peer of a group of this one, that was not asked yet.
    pub(crate) fn in_place_of(&self, progress: &Progress, position: usize) -> Option<usize> {
        let groups = self.groups.iter();
        let mut groups = groups.filter(|group| group.members.contains(&position));
        groups.find_map(|group| {
            let mut members = group.members.iter().copied();
            members.find(|member| *member != OWN && progress.stage(*member) == Stage::Untried)
        })
    }
}

impl Progress {
    fn stage(&self, position: usize) -> Stage {
        let stage = self.stages.get(position);
        stage.copied().unwrap_or(Stage::Failed)
    }

    fn set(&mut self, position: usize, stage: Stage) {
        if let Some(place) = self.stages.get_mut(position) {
            *place = stage;
        }
    }

    pub(crate) fn asked(&mut self, position: usize) {
        self.set(position, Stage::Asked);
    }

    pub(crate) fn failed(&mut self, position: usize) {
        self.set(position, Stage::Failed);
    }

    /// Notes that a peer has endorsed, and who it turned out to be; false if nobody asks for such an endorser.
    pub(crate) fn endorsed(&mut self, position: usize, identity: &Arc<Identity>) -> bool {
        let who = Who::Known(Arc::clone(identity));
        let mut is_meant = false;
        for group in &mut self.groups {
            let means = |meaning: &Meaning| meaning.includes(&who);
            if group.meaning.as_ref().is_none_or(means) {
                is_meant |= group.members.contains(&position);
            } else {
                group.members.retain(|member| *member != position);
            }
        }
        let stage = if is_meant {
            Stage::Endorsed
        } else {
            Stage::Failed
        };
        self.set(position, stage);
        is_meant
    }

    /// Peers for a layout, none of them twice: those of the lowest rank. `None` if there are too few.
    fn assign(
        &self,
        layout: &[(usize, usize)],
        rank: impl Fn(usize) -> Option<u8>,
    ) -> Option<Vec<usize>> {
        let mut wanted: Vec<(&[usize], usize)> = Vec::with_capacity(layout.len());
        for (group, count) in layout {
            wanted.push((&self.groups.get(*group)?.members, *count));
        }
        // Whoever is in a small group may be missed there.
        wanted.sort_by_key(|(members, count)| (members.len(), Reverse(*count)));
        let mut chosen: Vec<usize> = Vec::new();
        for (members, count) in wanted {
            let all = self.stages.len();
            let free = members.iter().filter(|member| !chosen.contains(member));
            let mut ranked: Vec<(u8, usize, usize)> = free
                .filter_map(|member| {
                    Some((
                        rank(*member)?,
                        member.wrapping_add(self.turn) % all,
                        *member,
                    ))
                })
                .collect();
            if ranked.len() < count {
                return None;
            }
            ranked.sort_unstable();
            chosen.extend(ranked.iter().take(count).map(|(_, _, member)| *member));
        }
        Some(chosen)
    }
}

#[cfg(test)]
mod tests;
