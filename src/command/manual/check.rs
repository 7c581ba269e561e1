//! What `check` looks at: its options, its rules, its forms.

use clap::Command;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::commands::options;
use super::{entry, further, paragraph, section};
use crate::command::check::RULES;

pub(super) fn check(definitions: &Command) -> Roff {
    let mut roff = section("CHECK");
    paragraph(
        &mut roff,
        "mcp-supervise check tells whether a server is sound, and what each finding means in which host. It starts the server \
         four times by itself, as hosts do, and once under a supervisor. It asks it in both eras of the protocol for its lists, \
         for methods and tools that are not there, and with ids, late messages and lines that are no messages; lets two run at \
         the same time, has one leave by the end of its input and one by SIGTERM, and kills one. Answers are waited for \
         for --timeout, and the time that is given to leave is that of hosts: 2 s.",
    );
    further(
        &mut roff,
        "It does no harm: of the server's tools only those are called that --call names, and, with arguments that do not fit their \
         schema, up to three that say that they only read. Whatever else a server does when it is started it does here too.",
    );
    further(
        &mut roff,
        "The report is on stdout: text for a person; json with the members server, command, started, sound, errors, warnings, \
         allowed, facts, findings (rule, severity, part, subject, seen, why, hint) and notLookedAt, which \
         has reasons by part, and by arguments where no call was made that a tool had to refuse; junit with one test case a \
         rule; sarif, version 2.1.0; github with one annotation a finding, and the text. Secrets are masked in all of them.",
    );
    further(
        &mut roff,
        "A baseline is a JSON file with the tools, prompts and resource templates that the server offered, and its instructions, \
         all as it defined them. Review it, and commit it: a check that is given it tells what is new, gone or changed. \
         Resources are not in it, nor is _meta.",
    );
    options(&mut roff, definitions, "check");
    further(&mut roff, "The rules. A name never changes its meaning:");
    for rule in RULES {
        let severity = format!(" ({})", rule.severity.word());
        entry(
            &mut roff,
            vec![bold(rule.name), roman(severity)],
            format!("{}. {} {}", rule.says, rule.why, rule.hint),
        );
    }
    roff.control("PP", []);
    roff.text([
        roman("In CI, as one step: "),
        italic("mcp-supervise check --format github -- node dist/index.js"),
    ]);
    roff
}
