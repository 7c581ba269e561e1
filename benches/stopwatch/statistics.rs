//! Medians and what lies around them.

/// The value that this part of the sorted values is not above. `part` is between 0 and 1.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let at = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[at]
}

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// A figure as it was measured in each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<f64>);

impl Rounds {
    /// The median with the middle half of the rounds behind it.
    pub(crate) fn told(&self, digits: usize, unit: &str) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let (low, middle, high) = (quantile(&self.0, 0.25), median(&self.0), quantile(&self.0, 0.75));
        format!("{middle:.digits$}{unit} ({low:.digits$}–{high:.digits$})")
    }

    /// Each round's value by that of the same round of the other.
    pub(crate) fn per(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(value, other)| value / other).collect())
    }

    /// Each round's value less that of the same round of the other.
    pub(crate) fn less(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(value, other)| value - other).collect())
    }
}
