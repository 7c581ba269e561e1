//! `man`: the man page. The parts about the command line are generated from its definitions, the rest is written here.
//! Pure rendering: the same definitions give the same bytes, whatever the environment holds.

mod check;
mod commands;
mod reference;
mod story;

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, roman};

use crate::cli;

/// The man page, as roff source.
pub fn render() -> Vec<u8> {
    let mut definitions = cli::definitions();
    definitions.build();
    let man = Man::new(definitions.clone()).manual("User Commands");
    let mut page = generated(&man, Man::render_title);
    for section in [
        generated(&man, Man::render_name_section),
        generated(&man, Man::render_synopsis_section),
        generated(&man, Man::render_description_section),
        commands::commands(&definitions).render(),
        generated(&man, Man::render_options_section),
        story::promises().render(),
        story::guidance().render(),
        commands::wrap(&definitions).render(),
        check::check(&definitions).render(),
        commands::setup(&definitions).render(),
        commands::status(&definitions).render(),
        story::examples().render(),
        reference::exit_status().render(),
        reference::environment(&definitions).render(),
        reference::files().render(),
        reference::forwarding().render(),
    ] {
        // Every part comes with the same preamble, which belongs at the head of the page only.
        page.push_str(section.strip_prefix(&Roff::new().render()).unwrap_or(&section));
    }
    // An empty date would be none, and what follows would be taken for it; a blank line in an entry needs no breaks around it.
    page = page.replacen(" 1  \"", " 1 \"\" \"", 1);
    page.replace("\n.br\n\n.br\n", "\n.sp\n").into_bytes()
}

/// One part of the page, written by `clap_mangen`.
fn generated(man: &Man, part: impl Fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    part(man, &mut bytes).expect("writing to memory cannot fail");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A sentence as it goes on inside another one.
fn uncapitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn section(title: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff
}

fn paragraph(roff: &mut Roff, text: &str) {
    roff.text([roman(text)]);
}

/// One that comes after something else.
fn further(roff: &mut Roff, text: &str) {
    roff.control("PP", []);
    paragraph(roff, text);
}

/// A term and what is to be said about it.
fn entry(roff: &mut Roff, term: Vec<Inline>, text: String) {
    roff.control("TP", []);
    roff.text(term);
    roff.text([roman(text)]);
}
