//! What can go wrong with last good answers, in words that fit after "failed to".
//!
//! None of it is worth more than a warning. The words name paths, sizes and places in a file, and never what a server or
//! a host has said.

use std::io;
use std::path::PathBuf;

/// Something that is done without.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no directory to keep anything in.
    #[error("find a place for last good answers: there is no --data-dir, and HOME is not set")]
    NoPlace,
    /// The thread could not be started.
    #[error("start the thread for last good answers: {0}")]
    Thread(#[source] io::Error),
    /// The folder cannot be used, neither for reading nor for writing.
    #[error("use {} for last good answers: {why}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: Unusable,
    },
    /// The file of this server cannot be used. The next write replaces it if it is a regular file of ours and what is
    /// in it is lost.
    #[error("read the last good answers in {}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: Unusable,
    },
    /// The file of this server could not be written. It is as it was, and the next write tries again.
    #[error("write the last good answers to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// One answer is not kept; the one that was there before is.
    #[error("keep an answer to {method}: {why}")]
    Misfit {
        /// The method that it answers.
        method: String,
        /// What is wrong with it.
        why: Misfit,
    },
    /// Answers come faster than they are written: some are not kept.
    #[error("keep all good answers: the disk does not keep up")]
    Behind,
    /// The thread was not done in the time that it was given.
    #[error("finish writing last good answers in time")]
    Late,
    /// A defect of ours. Nothing is read or written any more in this run.
    #[error("go on keeping last good answers: their thread has panicked")]
    Panicked,
}

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The system refuses.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A link, a FIFO, a device, a directory.
    #[error("it is not a regular file")]
    NotAFile,
    /// A link or anything else that is no directory.
    #[error("it is not a directory")]
    NotAFolder,
    /// It belongs to somebody else.
    #[error("it belongs to another user")]
    Foreign,
    /// Somebody else may write to it.
    #[error("others may write to it")]
    OthersWrite,
    /// It is longer than 32 MiB.
    #[error("it is too large")]
    TooLarge,
    /// It is no JSON; half a file is none.
    #[error("it is not JSON (line {line}, column {column})")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// It is JSON, but not of our making.
    #[error("it does not have the shape that we write")]
    Shape,
    /// Another release has written it, in a format that this one does not know.
    #[error("its format {0} is unknown")]
    Format(u64),
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The result is not one JSON object on one line.
    #[error("it is not a JSON object on one line")]
    NoObject,
    /// It alone is longer than a file may be, 16 MiB.
    #[error("it is too large")]
    TooLarge,
}
