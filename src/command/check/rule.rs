//! The rules: what can be found about a server, each under a name that does not change.
//!
//! Plain data. People write the names into `--allow` and into the filters of their CI, so a name is a promise: a rule may
//! become milder or stricter in what it sees, and its name stays. Whether a rule is broken is decided in `judge`.

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// A host or a model may be misled, or it works in some hosts only.
    Warning,
    /// In some host something does not work.
    Error,
}

impl Severity {
    /// The word for it, which is SARIF's and GitHub's too.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What is looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Does it start, how fast, in which eras.
    Start,
    /// Is stdout clean.
    Stdout,
    /// What it does with requests, and with what is none.
    Requests,
    /// What it offers.
    Lists,
    /// The schemas of what it offers.
    Schemas,
    /// What `--call` asks for.
    Calls,
    /// How it leaves.
    Leaving,
    /// How it comes back.
    Crash,
    /// Whether it offers what it did.
    Baseline,
}

impl Part {
    /// All of them, in the order in which they are told.
    pub(crate) const ALL: [Self; 9] = [
        Self::Start,
        Self::Stdout,
        Self::Requests,
        Self::Lists,
        Self::Schemas,
        Self::Calls,
        Self::Leaving,
        Self::Crash,
        Self::Baseline,
    ];

    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stdout => "stdout",
            Self::Requests => "requests",
            Self::Lists => "lists",
            Self::Schemas => "schemas",
            Self::Calls => "calls",
            Self::Leaving => "leaving",
            Self::Crash => "crash",
            Self::Baseline => "baseline",
        }
    }
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its name.
    pub(crate) name: &'static str,
    /// How bad it is to break it.
    pub(crate) severity: Severity,
    /// What it belongs to.
    pub(crate) part: Part,
    /// What a sound server does, as one clause.
    pub(crate) says: &'static str,
    /// Why it matters, and in which host, as a sentence.
    pub(crate) why: &'static str,
    /// What to do about it, as a sentence.
    pub(crate) hint: &'static str,
}

macro_rules! rules {
    ($($id:ident $name:literal $severity:ident $part:ident $says:literal $why:literal $hint:literal)*) => {
        $(pub(super) static $id: Rule = Rule {
            name: $name, severity: Severity::$severity, part: Part::$part, says: $says, why: $why, hint: $hint,
        };)*
        /// All of them, by part.
        pub(crate) static RULES: &[&Rule] = &[$(&$id),*];
    };
}

rules! {
    START_FAILED "start-failed" Error Start
    "The server starts"
    "No host can use a server that does not start; most show it as failed and do not try again."
    "Run the command by hand with </dev/null, since some programs do something else at a terminal; hosts have a bare PATH and another working directory than your shell."

    START_SILENT "start-silent" Error Start
    "The server answers what opens the conversation"
    "Claude Code gives up after 30 s, Claude Desktop and the SDKs after 60 s."
    "Answer initialize before anything slow is begun."

    START_TOO_SLOW "start-too-slow" Error Start
    "The server greets within 30 s"
    "Claude Code gives up after 30 s, the Inspector after 15 s."
    "Begin slow work after the greeting, and install packages beforehand instead of by npx or uvx."

    START_SLOW "start-slow" Warning Start
    "The server greets within 10 s"
    "Clients that probe the era of a server wait 10 s, the Inspector 15 s, Claude Code 30 s."
    "Begin slow work after the greeting, and install packages beforehand instead of by npx or uvx."

    START_TWICE "start-twice" Error Start
    "Two copies of the server can run at once"
    "Claude Desktop starts each server twice, and people have several hosts open."
    "Use no fixed port, and no lock that a second copy waits for or dies of."

    GREETING_REFUSED "greeting-refused" Error Start
    "The server accepts a greeting"
    "Every host gives up a server that refuses it."
    "Answer an initialize with the version that was asked for, or else with the newest that you speak."

    GREETING_INVALID "greeting-invalid" Error Start
    "The greeting has all that the protocol wants"
    "The SDKs validate the greeting, and close the connection if a member is missing or of another type."
    "It needs protocolVersion, capabilities, and serverInfo with name and version; write {} for an empty object and not [], and leave out what is absent instead of writing null."

    PROBE_UNANSWERED "probe-unanswered" Warning Start
    "A server that does not know server/discover says so"
    "Clients of revision 2026-07-28 begin with it; one that hears nothing waits 10 s, and then for a new process."
    "Answer unknown methods with -32601, also before initialize."

    PROBE_INITIALIZE "probe-initialize" Warning Start
    "After a refused server/discover the server can still be greeted"
    "Clients that probe, such as the Python SDK's, send initialize to the same process."
    "Refuse the probe without changing state."

    MODERN_INVALID "modern-invalid" Error Start
    "Answers of revision 2026-07-28 have what it wants"
    "Clients of that revision refuse results without resultType, and lists without ttlMs and cacheScope."
    "Add the members, or do not list the revision in supportedVersions."

    CHECK_UNFINISHED "check-unfinished" Error Start
    "The check comes to its end within `--max-time`"
    "What was not looked at is not known to be sound."
    "Have the server answer faster, or give the check more time with --max-time."

    STDOUT_NOISE "stdout-noise" Error Stdout
    "stdout has MCP messages and nothing else"
    "Claude Desktop shows an error for each such line; older Claude Code drops the server at the first."
    "Print to stderr: console.error, print(..., file=sys.stderr), logging to stderr."

    STDOUT_FRAMES "stdout-frames" Error Stdout
    "Messages have no header, and stand on lines of their own"
    "Frames with Content-Length are those of language servers (LSP); no MCP host reads them."
    "Write each message as one line with a line feed behind it and no header, and read messages likewise."

    STDOUT_SPREAD "stdout-spread" Error Stdout
    "Each message stands on one line"
    "Hosts read line by line: of a message over several lines they read none."
    "Write JSON without indentation (no pretty printing), and line breaks in texts as \\n."

    STDOUT_ENCODING "stdout-encoding" Error Stdout
    "stdout is UTF-8"
    "The protocol wants UTF-8; in UTF-16 and other encodings hosts read no message, or damaged texts."
    "Set the encoding of stdout to UTF-8 (PYTHONIOENCODING=utf-8, [Console]::OutputEncoding), or write bytes."

    STDOUT_BUFFERED "stdout-buffered" Error Stdout
    "Messages are flushed as soon as they are written"
    "Hosts keep the input open: what stays in a buffer until the server ends is never seen."
    "Flush stdout after each message (flush=True, fflush, setvbuf, Flush)."

    STDOUT_BOM "stdout-bom" Error Stdout
    "stdout does not begin with a byte order mark"
    "The SDKs of TypeScript and Python lose the first message then, and wait for the greeting for ever."
    "Write UTF-8 without a byte order mark."

    STDOUT_BATCH "stdout-batch" Error Stdout
    "Messages are not put into arrays"
    "No SDK reads an array; revision 2025-03-26 alone had them."
    "Write each message on a line of its own."

    STDOUT_CRLF "stdout-crlf" Warning Stdout
    "Lines end with a line feed alone"
    "The SDKs take the carriage return off, and clients that people wrote themselves do not."
    "Switch stdout to binary mode, or write \\n yourself."

    STDOUT_UNFINISHED "stdout-unfinished" Warning Stdout
    "The last line is complete"
    "A host never sees a message without its line feed."
    "Write and flush whole lines, also when the server ends."

    STDOUT_LONG "stdout-long" Error Stdout
    "No line is longer than 10 MiB"
    "Hosts on the TypeScript SDK, such as Claude Desktop and Claude Code, close the connection at 10 MiB."
    "Page what is large, or answer with a resource link."

    STDOUT_EARLY "stdout-early" Warning Stdout
    "Nothing but logs and pings comes before the greeting"
    "Clients may drop what comes before they have greeted."
    "Wait for notifications/initialized."

    MESSAGE_INVALID "message-invalid" Error Stdout
    "Messages have the members that JSON-RPC has, each of its type"
    "The SDKs validate each message, and lose one that has other members, or null in the place of nothing."
    "Leave out what is absent, add no members of your own, and write no number that JSON does not have."

    TEXT_SURROGATE "text-surrogate" Error Stdout
    "Texts are whole Unicode, without halves of surrogate pairs"
    "The SDKs of Python and Rust refuse the whole message, and APIs of models the whole chat."
    "Cut texts between characters and not within one, and replace half a surrogate pair by U+FFFD."

    METHOD_UNKNOWN "method-unknown" Error Requests
    "A request with an unknown method is answered with an error"
    "A host that gets no answer waits for a minute; one that gets a result believes that the method exists."
    "Answer with the error -32601."

    METHOD_UNKNOWN_CODE "method-unknown-code" Warning Requests
    "That error is -32601"
    "Clients tell by the code whether to try another way or to give up."
    "Answer with the error -32601."

    PING_UNANSWERED "ping-unanswered" Error Requests
    "ping is answered"
    "Hosts and supervisors take a server for dead that does not answer it."
    "Answer ping with an empty result, at any time."

    ARGUMENTS_UNANSWERED "arguments-unanswered" Error Requests
    "A call with wrong arguments is answered"
    "Models send wrong arguments every day; the chat then waits for minutes."
    "Check the arguments, and answer with isError or -32602."

    ARGUMENTS_ACCEPTED "arguments-accepted" Warning Requests
    "A call with arguments that do not fit the schema is refused"
    "The model is not told what it did wrong, and the tool works with what it did not expect."
    "Check the arguments against the inputSchema before the tool runs."

    ARGUMENTS_CODE "arguments-code" Warning Requests
    "That refusal is isError or -32602"
    "Other errors read as a failure of the server, and the model does not correct itself."
    "Answer with isError and a text that says what is wrong, or with -32602."

    TOOL_UNKNOWN "tool-unknown" Warning Requests
    "A call of a tool that is not there is refused with isError, -32602 or -32601"
    "A host with an old list of tools must learn that the tool is gone."
    "Answer with -32602; hosts take -32601 and isError for it too."

    ID_CHANGED "id-changed" Error Requests
    "An answer has the id of its request, of the same type"
    "Hosts use numbers from 0 on, supervisors and other clients strings; a changed id is an answer that is lost."
    "Send the id back as it came: \"7\" and 7 are two ids, and 0 is one."

    ANSWER_UNASKED "answer-unasked" Error Requests
    "Only requests are answered"
    "Hosts log an error for each, and one that fits a later request is taken for its answer."
    "Answer only what was asked."

    ANSWER_TWICE "answer-twice" Error Requests
    "A request is answered once"
    "The second answer is an error in every host's log, or the answer to a later request."
    "Answer once."

    ANSWER_BOTH "answer-both" Error Requests
    "An answer has a result or an error, and not both, not even as null"
    "The SDK of TypeScript refuses it, and hosts on it wait for ever."
    "Leave error out of a result, and result out of an error."

    PROGRESS_LATE "progress-late" Error Requests
    "Progress is told of requests that run, and of no others"
    "Claude Code and Cursor close the connection on progress of a request that is answered, or is not theirs."
    "Tell no progress after the result, and only with the progressToken of the request."

    ANSWER_NULL_ID "answer-null-id" Warning Requests
    "No answer has the id null"
    "The SDK of TypeScript cannot read it; no revision allows it."
    "Leave the id out of an error about a message without one."

    STRAYS_FATAL "strays-fatal" Error Requests
    "Unknown notifications, late cancellations and late answers do no harm"
    "Every host sends them at times; the session is lost."
    "Ignore what is not known."

    JUNK_FATAL "junk-fatal" Error Requests
    "A line that is no message does no harm"
    "One damaged line ends the session."
    "Report it on stderr, and read on."

    ASKS_UNOFFERED "asks-unoffered" Warning Requests
    "The server asks only for what its client can do"
    "Claude Desktop offers no roots, sampling or elicitation, and refuses such requests."
    "Look at the client's capabilities before you ask."

    LIST_FAILED "list-failed" Error Lists
    "What is advertised can be listed"
    "Hosts show the server as failed, or without what it does not list."
    "Answer the list, or do not advertise the capability."

    LIST_INVALID "list-invalid" Error Lists
    "The lists have all that the protocol wants"
    "The SDKs validate a list as a whole: one wrong entry, and all tools are gone."
    "Each tool needs a name and an inputSchema of type object, each prompt a name, each resource a uri and a name; leave out what is absent instead of writing null."

    LIST_ENDLESS "list-endless" Error Lists
    "The pages of a list come to an end"
    "Hosts that read all pages never finish."
    "Leave nextCursor out of the last page."

    LIST_DUPLICATE "list-duplicate" Error Lists
    "No name is listed twice"
    "Model APIs refuse a request with two tools of one name, and with it the whole chat; of two prompts one is never reached."
    "Name them apart."

    LIST_EMPTY "list-empty" Warning Lists
    "A server that advertises tools has some"
    "Claude Desktop takes the list once: a tool that comes later is never seen."
    "Answer the list when the tools are known, or do not advertise the capability."

    TOOL_NAME "tool-name" Error Lists
    "Tool names have 1 to 128 letters, digits, `_`, `-` and `.`"
    "Model APIs refuse other names, and with them the whole chat."
    "Rename the tool."

    TOOL_NAME_LONG "tool-name-long" Warning Lists
    "Tool names are no longer than 64 characters, and have no dot"
    "Claude and OpenAI take 64 letters, digits, `_` and `-`, and hosts put the server's name in front."
    "Shorten the name, and write `_` for the dot."

    TOOL_DESCRIPTION "tool-description" Warning Lists
    "Each tool has a description"
    "It is all that a model knows of when to use the tool."
    "Say what it does, when to use it, and what it answers."

    TEXT_HIDDEN "text-hidden" Warning Lists
    "Names and descriptions have no characters that people do not see"
    "A model reads what a person cannot review; instructions are smuggled in this way."
    "Take them out."

    ANNOTATIONS_INVALID "annotations-invalid" Error Lists
    "Annotations are of the types that the protocol has"
    "The SDKs refuse the whole list."
    "Hints are true or false, title is a text."

    ANNOTATIONS_CONTRADICT "annotations-contradict" Warning Lists
    "Annotations do not contradict each other"
    "Hosts ask the person, or do not, by these hints; supervisors repeat calls by them."
    "A tool that destroys does not only read."

    SCHEMA_INVALID "schema-invalid" Error Schemas
    "Each schema is a valid JSON Schema of type object"
    "Model APIs refuse a request with such a schema, and with it the whole chat."
    "Validate it against the draft that it names, 2020-12 where it names none."

    SCHEMA_PATTERN "schema-pattern" Warning Schemas
    "Patterns are regular expressions that strict readers take"
    "Hosts that check arguments cannot use the schema, and refuse the tool or check nothing."
    "Write the pattern as JavaScript takes it with the flag u."

    SCHEMA_INTRICATE "schema-intricate" Warning Schemas
    "A schema does not stand for more work than it is worth"
    "Who checks arguments against it may never be done."
    "Have fewer parts refer to each other."

    SCHEMA_DEEP "schema-deep" Warning Schemas
    "A schema is nested no deeper than this check looks"
    "The limit is this program's own: the schema can be valid, and was not validated."
    "Move inner parts into $defs if you want them to be looked at."

    SCHEMA_REFERENCE "schema-reference" Error Schemas
    "Schemas refer to nothing outside themselves"
    "Hosts fetch nothing: the tool is refused, or its arguments are not checked."
    "Put what is referred to into $defs."

    SCHEMA_TOP_LEVEL "schema-top-level" Error Schemas
    "inputSchema has no oneOf, anyOf or allOf at its top"
    "Claude's API refuses it: Claude Code drops the tool, other hosts lose the whole chat."
    "Describe alternatives in the text, or put them into a property."

    SCHEMA_ITEMS "schema-items" Warning Schemas
    "Arrays in an inputSchema say what is in them"
    "VS Code and OpenAI refuse a tool with an array without items."
    "Add items."

    SCHEMA_PROPERTY "schema-property" Warning Schemas
    "Names of arguments have 1 to 64 letters, digits, `_`, `-` and `.`"
    "Claude's API refuses other names, and with them the whole chat."
    "Rename the argument."

    SCHEMA_REQUIRED "schema-required" Warning Schemas
    "What is required is described"
    "A model cannot fill an argument in that it is not told of; Gemini refuses the tool."
    "Add it to properties."

    CALL_UNKNOWN "call-unknown" Error Calls
    "The tool that `--call` names is there"
    "It is what this check was asked for."
    "Look at the list of tools."

    CALL_ARGUMENTS "call-arguments" Warning Calls
    "The arguments of `--call` fit the inputSchema"
    "Hosts that check arguments do not let such a call through."
    "Correct the call, or the schema."

    CALL_FAILED "call-failed" Error Calls
    "The call succeeds"
    "It is what this check was asked for."
    "See what the server says."

    CALL_INVALID "call-invalid" Error Calls
    "The result has all that the protocol wants"
    "The SDKs validate results, and the call fails."
    "It needs content, an array of parts of a type that the protocol has."

    CALL_OUTPUT "call-output" Error Calls
    "The result of a tool with an outputSchema has structuredContent that fits it"
    "The SDKs validate it, and the call fails."
    "Answer with structuredContent, and correct it or the schema."

    LEAVE_EOF "leave-eof" Warning Leaving
    "The server leaves within 2 s after the end of its input, with all that it has started"
    "Hosts then send SIGTERM, and work that is under way is lost."
    "End when stdin ends, and do not let timers or sockets keep the process."

    LEAVE_TERM "leave-term" Error Leaving
    "The server leaves within 2 s after SIGTERM"
    "Hosts then send SIGKILL: nothing is saved, and what it has started lives on."
    "Do not ignore SIGTERM, and do not wait in its handler."

    LEAVE_PROCESSES "leave-processes" Error Leaving
    "The server leaves no process behind"
    "They pile up, one for each start of each host; people count hundreds."
    "End what was started, and forward SIGTERM to it; 10 s are waited for it."

    CRASH_RECOVERY "crash-recovery" Error Crash
    "After a crash the server can be started again"
    "A supervisor starts it again at once, and a person does."
    "Use no lock or port that a killed process keeps, and write files so that a half of one is none."

    CRASH_LISTS "crash-lists" Error Crash
    "After a crash the lists are the same"
    "Hosts keep the list that they have seen: tools that are gone fail, new ones are not seen."
    "Offer the same from the first list on, whatever was stored."

    BASELINE_NEW "baseline-new" Error Baseline
    "Nothing is offered that is not in the baseline"
    "What is new has been reviewed by nobody, and every model may use it."
    "Review it, and write the baseline anew with --write-baseline."

    BASELINE_GONE "baseline-gone" Error Baseline
    "All that is in the baseline is offered"
    "Prompts and programs that use it fail."
    "Bring it back, or write the baseline anew with --write-baseline."

    BASELINE_CHANGED "baseline-changed" Error Baseline
    "What is offered is as it is in the baseline"
    "A description is an instruction to the model: one that is changed behind your back can make it do something else."
    "Review the change, and write the baseline anew with --write-baseline."
}

/// The rule of this name.
pub(crate) fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

/// A rule that is broken.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The rule.
    pub(crate) rule: &'static Rule,
    /// What breaks it, as `tool echo`. `None` for the server as a whole.
    pub(crate) subject: Option<String>,
    /// What was seen, as one clause; it can have several lines.
    pub(crate) seen: String,
}

impl Finding {
    /// About the server as a whole.
    pub(super) fn new(rule: &'static Rule, seen: impl Into<String>) -> Self {
        Self { rule, subject: None, seen: seen.into() }
    }

    /// About one thing of it.
    pub(super) fn of(rule: &'static Rule, subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { rule, subject: Some(subject.into()), seen: seen.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_in_order_and_named_once() {
        let names: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.is_sorted_by_key(|rule| rule.part));
        assert!(Part::ALL.is_sorted());
        for rule in RULES {
            assert!(rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.name);
            assert!(!rule.says.ends_with('.'), "{}", rule.name);
            assert!(rule.why.ends_with('.') && rule.hint.ends_with('.'), "{}", rule.name);
        }
    }
}
