//! Which backups may go.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// How many to keep. A backup that any rule keeps stays; without a rule, all stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many.
    pub last: usize,
    /// The newest of each of so many hours that have one.
    pub hourly: usize,
    /// Of days.
    pub daily: usize,
    /// Of weeks, which begin on Monday.
    pub weekly: usize,
    /// Of months.
    pub monthly: usize,
    /// All that are not older than the newest by more than this. Not older than now: where no backup has been made for a while,
    /// the old ones are all there is.
    pub within: Option<SignedDuration>,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// When it was made.
    pub created_at: Timestamp,
    /// It verified.
    pub verified: bool,
    /// A drill of it failed later.
    pub condemned: bool,
}

impl Policy {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Which of the candidates, by their index, may go. The newest one that verified never does, whatever the rules say,
    /// nor the newest of those that no drill condemned: a drill may err, and another one that works has to stay. Nor does one that claims to be from the future, because then a clock is wrong and nobody knows which. It takes no
    /// place of one from the present either, or that would go as soon as it is made.
    pub fn expendable(&self, candidates: &[Candidate], now: Timestamp) -> Vec<usize> {
        if self.is_empty() {
            return vec![];
        }
        let age = |index: &usize| now.duration_since(candidates[*index].created_at);
        let mut order: Vec<usize> = (0..candidates.len()).filter(|index| !age(index).is_negative()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(candidates[*index].created_at));
        let mut kept = BTreeSet::new();
        kept.extend(order.iter().take(self.last).copied());
        let verified = || order.iter().filter(|index| candidates[**index].verified);
        kept.extend(verified().next().copied());
        kept.extend(verified().find(|index| !candidates[**index].condemned).copied());
        let newest = order.first().map(age).unwrap_or_default();
        kept.extend(
            order.iter().filter(|index| self.within.is_some_and(|within| age(index) - newest <= within)),
        );
        for (count, format) in [
            (self.hourly, "%Y-%m-%d %H"),
            (self.daily, "%Y-%m-%d"),
            (self.weekly, "%G-%V"),
            (self.monthly, "%Y-%m"),
        ] {
            let mut seen = BTreeSet::new();
            for index in &order {
                let at = candidates[*index].created_at.to_zoned(TimeZone::UTC);
                if seen.len() < count && seen.insert(at.strftime(format).to_string()) {
                    kept.insert(*index);
                }
            }
        }
        let mut expendable: Vec<_> = order.into_iter().filter(|index| !kept.contains(index)).collect();
        expendable.sort_unstable();
        expendable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// One every six hours for forty days, the newest first.
    fn many() -> Vec<Candidate> {
        let newest = at("2026-11-24T18:00:00Z");
        let made = |number: i64| Candidate {
            created_at: newest - SignedDuration::from_hours(6 * number),
            verified: true,
            condemned: false,
        };
        (0..160).map(made).collect()
    }

    fn kept(policy: &Policy, candidates: &[Candidate]) -> Vec<String> {
        let gone = policy.expendable(candidates, at("2026-11-24T20:00:00Z"));
        let left = (0..candidates.len()).filter(|index| !gone.contains(index));
        left.map(|index| candidates[index].created_at.strftime("%d.%H").to_string()).collect()
    }

    #[test]
    fn without_a_rule_all_stay() {
        assert!(Policy::default().expendable(&many(), at("2030-01-01T00:00:00Z")).is_empty());
    }

    #[test]
    fn each_rule_keeps_its_own() {
        assert_eq!(kept(&Policy { last: 2, ..Policy::default() }, &many()), ["24.18", "24.12"]);
        assert_eq!(kept(&Policy { hourly: 2, ..Policy::default() }, &many()), ["24.18", "24.12"]);
        assert_eq!(kept(&Policy { daily: 3, ..Policy::default() }, &many()), ["24.18", "23.18", "22.18"]);
        // The 24th of November 2026 is a Tuesday.
        assert_eq!(kept(&Policy { weekly: 2, ..Policy::default() }, &many()), ["24.18", "22.18"]);
        assert_eq!(kept(&Policy { monthly: 2, ..Policy::default() }, &many()), ["24.18", "31.18"]);
        let within = Some(SignedDuration::from_hours(9));
        let policy = Policy { within, ..Policy::default() };
        assert_eq!(kept(&policy, &many()), ["24.18", "24.12"]);
        // Months after the last one.
        let gone = policy.expendable(&many(), at("2027-02-01T00:00:00Z"));
        assert_eq!(gone, (2..160).collect::<Vec<_>>());
    }

    #[test]
    fn rules_add_up() {
        let policy = Policy { last: 1, daily: 2, ..Policy::default() };
        assert_eq!(kept(&policy, &many()), ["24.18", "23.18"]);
    }

    #[test]
    fn the_last_one_that_verified_never_goes() {
        let mut candidates = many();
        candidates.truncate(4);
        for newer in &mut candidates[..3] {
            newer.verified = false;
        }
        assert_eq!(kept(&Policy { last: 1, ..Policy::default() }, &candidates), ["24.18", "24.00"]);
    }

    #[test]
    fn the_newest_stays_and_so_does_one_that_no_drill_condemned() {
        let within = Policy { within: Some(SignedDuration::from_hours(1)), ..Policy::default() };
        let mut candidates = many();
        candidates.truncate(4);
        for newer in &mut candidates[..2] {
            newer.condemned = true;
        }
        assert_eq!(kept(&within, &candidates), ["24.18", "24.06"]);
        // Even where drills condemn all, one is left to look at.
        for all in &mut candidates {
            all.condemned = true;
        }
        assert_eq!(kept(&within, &candidates), ["24.18"]);
    }

    #[test]
    fn one_from_the_future_stays_and_takes_no_place_of_another() {
        let mut candidates = many();
        candidates.truncate(3);
        for verified in [true, false] {
            candidates.push(Candidate { created_at: at("2027-01-01T00:00:00Z"), verified, condemned: false });
            let policy = Policy { last: 1, ..Policy::default() };
            assert_eq!(policy.expendable(&candidates, at("2026-11-24T20:00:00Z")), [1, 2]);
            let policy = Policy { daily: 1, ..Policy::default() };
            assert_eq!(policy.expendable(&candidates, at("2026-11-24T20:00:00Z")), [1, 2]);
        }
    }

    #[test]
    fn where_the_clock_was_set_back_nothing_goes_but_what_is_older() {
        let candidates = many();
        // All but the last two are from the future then; the last but one is as if just made.
        let now = candidates[158].created_at;
        let policy = Policy { last: 1, ..Policy::default() };
        assert_eq!(policy.expendable(&candidates, now), [159]);
    }
}
