//! The ways in which a reply can be odd and still be a reply.

/// One oddity of replies. None is documented; all must be expected (jdcloud-api.md, last section,
/// and the stray blanks, whole numbers and left-out domains of the documents' own examples).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Habit {
    /// Every number of a row as `"6.1"`.
    NumbersInQuotes,
    /// Domain names as `" www.a.com "`.
    BlanksAroundNames,
    /// Domain names as `WWW.A.COM`.
    UpperCaseNames,
    /// The newest bin first.
    ReversedOrder,
    /// Every bin twice.
    DuplicatedBins,
    /// Every bin twice, first with other values; the later one is true.
    ContradictoryBins,
    /// `data` before `domain` (`origin_ratio`).
    DataBeforeDomain,
    /// `status` as `"0"`, and after `data`.
    StatusQuotedAndLast,
    /// `2018-06-02  17:15` (`bandwidth_flow`).
    LabelsWithTwoBlanks,
    /// Two bins before and two after the asked range, with values that are not true.
    BinsOutsideRange,
    /// Two bins that have not ended yet, with values that are not true.
    FutureBins,
    /// A domain that nobody asked for, before the others.
    DomainsNeverAskedFor,
    /// No bin where nothing was delivered.
    IdleBinsLeftOut,
    /// No `msg`.
    MsgAbsent,
    /// `msg` as `""`.
    MsgEmpty,
    /// `flow` or `originRatio` as `null`.
    FieldNull,
    /// `flow` or `originRatio` as `"-"`.
    FieldDash,
    /// `flow` or `originRatio` as `"NaN"`.
    FieldNan,
    /// `flow` or `originRatio` as `NaN`, which is no JSON: nothing of the reply can be read.
    FieldBareNan,
    /// `flow` or `originRatio` as `-1`.
    FieldNegative,
    /// No `flow` or `originRatio`.
    FieldMissing,
    /// `data` as `{}`.
    DataObject,
    /// `data` as `[]`.
    DataArray,
    /// `data` as `null`.
    DataNull,
}

impl Habit {
    /// Every habit.
    pub const ALL: [Self; 24] = [
        Self::NumbersInQuotes,
        Self::BlanksAroundNames,
        Self::UpperCaseNames,
        Self::ReversedOrder,
        Self::DuplicatedBins,
        Self::ContradictoryBins,
        Self::DataBeforeDomain,
        Self::StatusQuotedAndLast,
        Self::LabelsWithTwoBlanks,
        Self::BinsOutsideRange,
        Self::FutureBins,
        Self::DomainsNeverAskedFor,
        Self::IdleBinsLeftOut,
        Self::MsgAbsent,
        Self::MsgEmpty,
        Self::FieldNull,
        Self::FieldDash,
        Self::FieldNan,
        Self::FieldBareNan,
        Self::FieldNegative,
        Self::FieldMissing,
        Self::DataObject,
        Self::DataArray,
        Self::DataNull,
    ];

    /// A word for tables of tests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NumbersInQuotes => "numbers_in_quotes",
            Self::BlanksAroundNames => "blanks_around_names",
            Self::UpperCaseNames => "upper_case_names",
            Self::ReversedOrder => "reversed_order",
            Self::DuplicatedBins => "duplicated_bins",
            Self::ContradictoryBins => "contradictory_bins",
            Self::DataBeforeDomain => "data_before_domain",
            Self::StatusQuotedAndLast => "status_quoted_and_last",
            Self::LabelsWithTwoBlanks => "labels_with_two_blanks",
            Self::BinsOutsideRange => "bins_outside_range",
            Self::FutureBins => "future_bins",
            Self::DomainsNeverAskedFor => "domains_never_asked_for",
            Self::IdleBinsLeftOut => "idle_bins_left_out",
            Self::MsgAbsent => "msg_absent",
            Self::MsgEmpty => "msg_empty",
            Self::FieldNull => "field_null",
            Self::FieldDash => "field_dash",
            Self::FieldNan => "field_nan",
            Self::FieldBareNan => "field_bare_nan",
            Self::FieldNegative => "field_negative",
            Self::FieldMissing => "field_missing",
            Self::DataObject => "data_object",
            Self::DataArray => "data_array",
            Self::DataNull => "data_null",
        }
    }

    const fn bit(self) -> u32 {
        #[allow(
            clippy::as_conversions,
            reason = "a field-less enum has no other way to its number"
        )]
        let place = self as u32;
        1 << place
    }
}

/// A set of habits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits(u32);

impl Habits {
    /// Replies as the documents print them.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub const fn with(self, habit: Habit) -> Self {
        Self(self.0 | habit.bit())
    }

    /// These and those.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, habit: Habit) -> bool {
        self.0 & habit.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_habit_has_its_own_place_and_name() {
        for habit in Habit::ALL {
            let alone = Habits::NONE.with(habit);
            let with_it = Habit::ALL.into_iter().filter(|h| alone.has(*h));
            assert_eq!(with_it.collect::<Vec<_>>(), [habit]);
            let same_name = Habit::ALL.into_iter().filter(|h| h.name() == habit.name());
            assert_eq!(same_name.count(), 1);
        }
    }
}
