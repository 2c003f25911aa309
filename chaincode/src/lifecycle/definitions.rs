//! What organisations do with definitions: approve, see who approved, commit, ask.
//!
//! ```text
//! public state             what is committed
//! organisation's own       what it approved, by name and sequence number
//! ```

use std::collections::BTreeMap;

use quire_ledger::ReadError;
use quire_wire::lifecycle::StateMetadata;

use super::config::ChannelConfig;
use super::definition::{Approval, Definition, LocalPackage, Parameters};
use super::error::LifecycleError;
use super::layout::{self, Fields, NAMESPACES, SOURCES};
use super::packages::Packages;
use super::state::{Place, State};

/// Definitions of a channel.
pub(super) struct Definitions<'a> {
    pub(super) channel: &'a str,
    pub(super) config: &'a dyn ChannelConfig,
    pub(super) state: &'a mut dyn State,
}

/// Who approved a definition, and what those who did not have otherwise; by MSP ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) approvals: BTreeMap<String, bool>,
    pub(super) mismatches: BTreeMap<String, Vec<String>>,
}

/// How a name is defined.
pub(crate) fn definition(state: &mut dyn State, name: &str) -> Result<Definition, LifecycleError> {
    let metadata = layout::metadata(state, Place::Public, NAMESPACES, name)?;
    let metadata = metadata.ok_or_else(|| LifecycleError::NotDefined(name.to_owned()))?;
    layout::read(state, Place::Public, NAMESPACES, name, &metadata)
}

/// How every chaincode of a channel is defined, in the order of their names.
///
/// # Errors
/// The ledger could not be read, or holds a definition that nobody could have written.
pub fn definitions(state: &mut dyn State) -> Result<Vec<(String, Definition)>, LifecycleError> {
    let metadata = layout::all_metadata(state, Place::Public, NAMESPACES)?;
    let is_chaincode = |datatype: &str| datatype == <Definition as layout::Structure>::TYPE;
    let names = metadata.into_iter();
    let names = names.filter(|(_, metadata)| is_chaincode(&metadata.datatype));
    names
        .map(|(name, _)| Ok((name.clone(), definition(state, &name)?)))
        .collect()
}

impl Definitions<'_> {
    /// Puts on record that an organisation agrees to a definition and runs a package for it.
    pub(super) fn approve(
        &mut self,
        organization: &str,
        name: &str,
        mut approval: Approval,
    ) -> Result<(), LifecycleError> {
        let current = self.current_sequence(name)?;
        let requested = approval.definition.sequence;
        check_approvable(current, requested)?;
        let parameters = &mut approval.definition.parameters;
        parameters.set_defaults(self.channel, self.config)?;
        if requested == current {
            self.check_unchanged(name, requested, parameters)?;
        }
        if self.is_approved(organization, name, &approval)? {
            return Err(LifecycleError::Redefined(if requested == current {
                format!(
                    "attempted to redefine the current committed sequence ({current}) for namespace \
                     {name}"
                )
            } else {
                format!(
                    "attempted to redefine uncommitted sequence ({requested}) for namespace {name} \
                     with unchanged content"
                )
            }));
        }
        let (place, private) = (Place::Of(organization), private_name(name, requested));
        let Approval {
            definition,
            package_id,
        } = approval;
        layout::write(
            self.state,
            place,
            NAMESPACES,
            &private,
            &definition.parameters,
        )?;
        let package = LocalPackage { package_id };
        layout::write(self.state, place, SOURCES, &private, &package)
    }

    /// What is committed may be approved after the fact, and not be changed by that.
    fn check_unchanged(
        &mut self,
        name: &str,
        sequence: i64,
        parameters: &Parameters,
    ) -> Result<(), LifecycleError> {
        let metadata = layout::metadata(self.state, Place::Public, NAMESPACES, name)?;
        let metadata = metadata.ok_or_else(|| {
            LifecycleError::State(format!(
                "missing metadata for currently committed sequence number ({sequence})"
            ))
        })?;
        let committed: Definition =
            layout::read(self.state, Place::Public, NAMESPACES, name, &metadata)?;
        match committed.parameters.difference(parameters) {
            None => Ok(()),
            Some(difference) => Err(LifecycleError::Redefined(format!(
                "attempted to redefine the current committed sequence ({sequence}) for namespace \
                 {name} with different parameters: {difference}"
            ))),
        }
    }

    /// Whether an organisation has approved just this already, with just this package.
    fn is_approved(
        &mut self,
        organization: &str,
        name: &str,
        approval: &Approval,
    ) -> Result<bool, LifecycleError> {
        match self.is_kept(organization, name, approval) {
            Err(error) if is_elsewhere(&error) => {
                let Approval {
                    definition,
                    package_id,
                } = approval.clone();
                self.has_hashes(
                    organization,
                    name,
                    &definition,
                    &LocalPackage { package_id },
                )
            }
            decided => decided,
        }
    }

    /// Whether what an organisation approved has the hashes of this definition and this package. Who has the hashes has
    /// the values: another node of the organisation may have kept them.
    fn has_hashes(
        &mut self,
        organization: &str,
        name: &str,
        definition: &Definition,
        package: &LocalPackage,
    ) -> Result<bool, LifecycleError> {
        let private = private_name(name, definition.sequence);
        let (state, parameters) = (&mut *self.state, &definition.parameters);
        let differing = layout::differences(state, organization, NAMESPACES, &private, parameters)?;
        Ok(differing.is_empty()
            && layout::differences(state, organization, SOURCES, &private, package)?.is_empty())
    }

    /// The same as far as this node kept what was approved.
    fn is_kept(
        &mut self,
        organization: &str,
        name: &str,
        approval: &Approval,
    ) -> Result<bool, LifecycleError> {
        let place = Place::Of(organization);
        let private = private_name(name, approval.definition.sequence);
        let Some(metadata) = layout::metadata(self.state, place, NAMESPACES, &private)? else {
            return Ok(false);
        };
        let before: Parameters = layout::read(self.state, place, NAMESPACES, &private, &metadata)?;
        if before.difference(&approval.definition.parameters).is_some() {
            return Ok(false);
        }
        let Some(metadata) = layout::metadata(self.state, place, SOURCES, &private)? else {
            return Ok(false);
        };
        let before: LocalPackage = layout::read(self.state, place, SOURCES, &private, &metadata)?;
        Ok(before.package_id == approval.package_id)
    }

    /// Who approved what would be the next definition of a name. Fills in its defaults.
    pub(super) fn readiness(
        &mut self,
        name: &str,
        definition: &mut Definition,
        organizations: &[String],
    ) -> Result<Readiness, LifecycleError> {
        let next = self.current_sequence(name)?.wrapping_add(1);
        if definition.sequence != next {
            return Err(LifecycleError::Sequence(format!(
                "requested sequence is {}, but new definition must be sequence {next}",
                definition.sequence
            )));
        }
        definition
            .parameters
            .set_defaults(self.channel, self.config)?;
        self.approvals(name, definition, organizations)
    }

    /// Who approved a definition.
    pub(super) fn approvals(
        &mut self,
        name: &str,
        definition: &Definition,
        organizations: &[String],
    ) -> Result<Readiness, LifecycleError> {
        let private = private_name(name, definition.sequence);
        let mut readiness = Readiness::default();
        for organization in organizations {
            let parameters = &definition.parameters;
            let differing =
                layout::differences(self.state, organization, NAMESPACES, &private, parameters)?;
            readiness
                .approvals
                .insert(organization.clone(), differing.is_empty());
            if !differing.is_empty() {
                readiness.mismatches.insert(organization.clone(), differing);
            }
        }
        Ok(readiness)
    }

    /// Makes a definition the one of its name, and says who approved it.
    pub(super) fn commit(
        &mut self,
        name: &str,
        mut definition: Definition,
        organizations: &[String],
    ) -> Result<Readiness, LifecycleError> {
        let readiness = self.readiness(name, &mut definition, organizations)?;
        layout::write(self.state, Place::Public, NAMESPACES, name, &definition)?;
        Ok(readiness)
    }

    /// How a name is defined.
    pub(super) fn definition(&mut self, name: &str) -> Result<Definition, LifecycleError> {
        definition(self.state, name)
    }

    /// How every chaincode is defined, in the order of their names.
    pub(super) fn definitions(&mut self) -> Result<Vec<(String, Definition)>, LifecycleError> {
        definitions(self.state)
    }

    /// What an organisation approved for a name: for the sequence number, or where that is 0 the newest. What another
    /// node of the organisation has kept is told by its hashes, if it is the definition in force with one of the
    /// packages that are installed here.
    pub(super) fn approved(
        &mut self,
        organization: &str,
        name: &str,
        sequence: i64,
        packages: &dyn Packages,
    ) -> Result<Approval, LifecycleError> {
        match self.kept(organization, name, sequence) {
            Err(error) if is_elsewhere(&error) => {
                let recognised = self.recognised(organization, name, sequence, packages)?;
                recognised.ok_or(error)
            }
            found => found,
        }
    }

    fn recognised(
        &mut self,
        organization: &str,
        name: &str,
        sequence: i64,
        packages: &dyn Packages,
    ) -> Result<Option<Approval>, LifecycleError> {
        let definition = match self.definition(name) {
            Ok(definition) => definition,
            Err(LifecycleError::NotDefined(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_asked_for = match sequence {
            0 => {
                let next = private_name(name, definition.sequence.wrapping_add(1));
                let key = layout::metadata_key(NAMESPACES, &next);
                self.state.hash(organization, &key)?.is_none()
            }
            given => given == definition.sequence,
        };
        if !is_asked_for {
            return Ok(None);
        }
        let installed = packages.installed().into_iter().map(|one| one.package_id);
        // It may have been approved without a package.
        for package_id in installed.chain([String::new()]) {
            let package = LocalPackage { package_id };
            if self.has_hashes(organization, name, &definition, &package)? {
                let package_id = package.package_id;
                return Ok(Some(Approval {
                    definition,
                    package_id,
                }));
            }
        }
        Ok(None)
    }

    fn kept(
        &mut self,
        organization: &str,
        name: &str,
        sequence: i64,
    ) -> Result<Approval, LifecycleError> {
        let place = Place::Of(organization);
        let sequence = match sequence {
            0 => {
                let current = self.current_sequence(name)?;
                let next = current.wrapping_add(1);
                let private = private_name(name, next);
                let found = layout::metadata(self.state, place, NAMESPACES, &private)?;
                found.map_or(current, |_| next)
            }
            given => given,
        };
        let private = private_name(name, sequence);
        let metadata = layout::metadata(self.state, place, NAMESPACES, &private)?;
        let metadata = metadata.ok_or_else(|| LifecycleError::NotApproved {
            name: name.to_owned(),
            sequence,
            channel: self.channel.to_owned(),
        })?;
        self.approval(place, name, sequence, &metadata)
    }

    /// All that an organisation approved, in the order of Fabric's keys.
    pub(super) fn all_approved(
        &mut self,
        organization: &str,
    ) -> Result<Vec<(String, Approval)>, LifecycleError> {
        let place = Place::Of(organization);
        let metadata = layout::all_metadata(self.state, place, NAMESPACES)?;
        let mut approvals = Vec::new();
        for (private, metadata) in metadata {
            let parts = private.split_once('#');
            let parts = parts.and_then(|(name, sequence)| Some((name, sequence.parse().ok()?)));
            let (name, sequence) = parts.ok_or_else(|| {
                LifecycleError::State(format!("invalid private name format: {private}"))
            })?;
            let approval = self.approval(place, name, sequence, &metadata)?;
            approvals.push((name.to_owned(), approval));
        }
        Ok(approvals)
    }

    fn approval(
        &mut self,
        place: Place<'_>,
        name: &str,
        sequence: i64,
        metadata: &StateMetadata,
    ) -> Result<Approval, LifecycleError> {
        let private = private_name(name, sequence);
        let parameters = layout::read(self.state, place, NAMESPACES, &private, metadata)?;
        let metadata = layout::metadata(self.state, place, SOURCES, &private)?;
        let metadata = metadata.ok_or_else(|| {
            let text = format!("could not fetch chaincode-source metadata for {private}");
            LifecycleError::State(text)
        })?;
        let LocalPackage { package_id } =
            layout::read(self.state, place, SOURCES, &private, &metadata)?;
        Ok(Approval {
            definition: Definition {
                sequence,
                parameters,
            },
            package_id,
        })
    }

    fn current_sequence(&mut self, name: &str) -> Result<i64, LifecycleError> {
        let mut fields = Fields {
            place: Place::Public,
            part: NAMESPACES,
            name,
            state: self.state,
        };
        fields.number("Sequence")
    }
}

/// Whether another node of the organisation has what was asked for.
fn is_elsewhere(error: &LifecycleError) -> bool {
    matches!(
        error,
        LifecycleError::Read(ReadError::PrivateMissing { .. })
    )
}

/// The name by which an organisation keeps what it approved.
fn private_name(name: &str, sequence: i64) -> String {
    format!("{name}#{sequence}")
}

/// What is committed may be approved, and what comes next.
fn check_approvable(current: i64, requested: i64) -> Result<(), LifecycleError> {
    let next = current.wrapping_add(1);
    let text = if current == requested && requested == 0 {
        "requested sequence is 0, but first definable sequence number is 1".to_owned()
    } else if requested < current {
        format!(
            "currently defined sequence {current} is larger than requested sequence {requested}"
        )
    } else if requested > next {
        format!(
            "requested sequence {requested} is larger than the next available sequence number {next}"
        )
    } else {
        return Ok(());
    };
    Err(LifecycleError::Sequence(text))
}

#[cfg(test)]
#[path = "definitions/tests.rs"]
mod tests;
