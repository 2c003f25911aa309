//! A passphrase, from a file or from whoever sits at the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use quire_identity::sealed::{MAX_PASSPHRASE_BYTES, Passphrase, SealError};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

/// Where the passphrase is. No flag holds it: others see the command line.
#[derive(Clone, Debug, Args)]
pub(crate) struct PassphraseArguments {
    /// The file with the passphrase; without it, it is asked for at the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassphraseError {
    #[error("the passphrase cannot be read from {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("there is no terminal to ask for the passphrase at: give --passphrase-file FILE")]
    NoTerminal(#[source] io::Error),
    #[error("no passphrase was typed")]
    Stopped,
    #[error("the two passphrases differ")]
    Differ,
    #[error(transparent)]
    Refused(#[from] SealError),
}

impl PassphraseArguments {
    /// Whether it is in a file.
    pub(crate) fn is_in_a_file(&self) -> bool {
        self.passphrase_file.is_some()
    }

    /// One that opens what is sealed.
    pub(crate) fn tell(&self) -> Result<Passphrase, PassphraseError> {
        let text = match &self.passphrase_file {
            Some(path) => read(path)?,
            None => ask("Passphrase: ").map_err(untyped)?,
        };
        Ok(Passphrase::new(text)?)
    }

    /// A new one: at a terminal it is typed twice, because nobody sees it.
    fn choose_typed() -> Result<Passphrase, PassphraseError> {
        let ask = |prompt| ask(prompt).map_err(untyped);
        let text = ask("New passphrase: ")?;
        if ask("Once more: ")? != text {
            return Err(PassphraseError::Differ);
        }
        Ok(Passphrase::new(text)?)
    }

    /// One to seal with.
    pub(crate) fn choose(&self) -> Result<Passphrase, PassphraseError> {
        match &self.passphrase_file {
            Some(_) => self.tell(),
            None => Self::choose_typed(),
        }
    }
}

fn read(path: &PathBuf) -> Result<String, PassphraseError> {
    let read = || {
        let mut text = String::new();
        // One byte more than there may be tells of too many.
        let limit = MAX_PASSPHRASE_BYTES as u64 + 3;
        File::open(path)?.take(limit).read_to_string(&mut text)?;
        Ok(text)
    };
    let text: io::Result<String> = read();
    let text = text.map_err(|source| PassphraseError::File {
        path: path.clone(),
        source,
    })?;
    Ok(line(&text))
}

/// A text without the end of its line.
fn line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}

/// What Ctrl-C types where it does not end the process.
const CTRL_C: u8 = 3;

/// Asks at the terminal, which shows nothing of what is typed. Ctrl-C ends the line, and not the process, which would leave
/// the terminal silent.
fn ask(prompt: &str) -> io::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    (&terminal).write_all(prompt.as_bytes())?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let typed = typed(&terminal);
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    (&terminal).write_all(b"\n")?;
    Ok(line(&typed?))
}

/// The line that is typed; whoever typed Ctrl-C in it wants none.
fn typed(terminal: &File) -> io::Result<String> {
    let limit = MAX_PASSPHRASE_BYTES as u64 + 3;
    let mut text = Vec::new();
    for byte in BufReader::new(terminal.take(limit)).bytes() {
        match byte? {
            CTRL_C => return Err(ErrorKind::Interrupted.into()),
            b'\n' => break,
            byte => text.push(byte),
        }
    }
    String::from_utf8(text).map_err(|_| ErrorKind::InvalidData.into())
}

fn untyped(error: io::Error) -> PassphraseError {
    match error.kind() {
        ErrorKind::Interrupted => PassphraseError::Stopped,
        _ => PassphraseError::NoTerminal(error),
    }
}
