//! The table: a row a figure, as Markdown that can be read as it is.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use crate::statistics::Rounds;

/// One figure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) direct: String,
    pub(crate) copy: String,
    pub(crate) supervisor: String,
    /// The figure that the budget is about.
    pub(crate) judged: String,
    /// Empty where nothing is judged.
    pub(crate) budget: String,
}

impl Row {
    /// A figure of which each round gave three values, judged by its ratio to the byte copy.
    pub(crate) fn ratio(
        figure: &str,
        [direct, copy, supervisor]: &[Rounds; 3],
        digits: usize,
        unit: &str,
        budget: &str,
    ) -> Self {
        Self {
            figure: figure.into(),
            direct: direct.told(digits, unit),
            copy: copy.told(digits, unit),
            supervisor: supervisor.told(digits, unit),
            judged: supervisor.per(copy).told(2, " x copy"),
            budget: budget.into(),
        }
    }
}

/// Prints what comes before the rows.
pub(crate) fn head() {
    println!("| figure | direct | byte copy | supervisor | judged | budget |");
    println!("|---|---|---|---|---|---|");
}

/// Prints a row.
pub(crate) fn print(row: &Row) {
    let Row { figure, direct, copy, supervisor, judged, budget } = row;
    println!("| {figure} | {direct} | {copy} | {supervisor} | {judged} | {budget} |");
}
