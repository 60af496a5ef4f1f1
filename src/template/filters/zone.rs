//! Time zones: an IANA name, or a distance from UTC such as `+02:00`.
//!
//! In: its text; then a moment, or the time that a clock in the zone shows. Out: the distance from UTC then, or the moment. The zones'
//! rules are compiled in and go on after the last change that they list; nothing is read from the system.

use tz::datetime::{DateTime, FoundDateTimeKind};
use tz::{TimeZoneRef, UtcDateTime};

use super::super::moment;
use crate::suggest::did_you_mean;

/// More than one clock ever shows the same time: twice, when it is set back.
const FOUND_MAX: usize = 8;

#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    Utc,
    Fixed { seconds: i32 },
    Named(TimeZoneRef<'static>),
}

/// How far the clocks of a zone are ahead of UTC at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    pub seconds: i32,
    /// As `CEST`; none where the zone is just a distance.
    pub abbreviation: Option<&'static str>,
}

/// `+02:00`, `Z` or an IANA name, in any case of letters.
pub(super) fn zone(text: &str) -> Option<Zone> {
    if let Some(Some(minutes)) = moment::zone_minutes(text) {
        return i32::try_from(minutes * 60).ok().map(|seconds| Zone::Fixed { seconds });
    }
    tzdb_data::find_tz(text.as_bytes()).map(|found| Zone::Named(*found))
}

/// What is wrong with a zone that a rule names.
pub(super) fn zone_flaw(text: &str) -> Option<String> {
    let hint = || did_you_mean(text, tzdb_data::TZ_NAMES.iter().copied());
    zone(text)
        .is_none()
        .then(|| format!("there is no time zone `{text}`{}; write an IANA name or an offset such as `+02:00`", hint()))
}

impl Zone {
    /// None for a moment that the zone has no rule for.
    pub(super) fn offset_at(&self, unix_seconds: i64) -> Option<Offset> {
        Some(match self {
            Zone::Utc => Offset { seconds: 0, abbreviation: Some("UTC") },
            Zone::Fixed { seconds } => Offset { seconds: *seconds, abbreviation: None },
            Zone::Named(named) => {
                let kind = named.find_local_time_type(unix_seconds).ok()?;
                let abbreviation = Some(kind.time_zone_designation()).filter(|text| !text.is_empty());
                Offset { seconds: kind.ut_offset(), abbreviation }
            }
        })
    }

    /// The moment at which clocks in the zone show this. Of two such moments the first; where clocks were set forward over the time, the
    /// moment at which they would have shown it without that.
    pub(super) fn moment_of(&self, shown: &UtcDateTime) -> Option<i64> {
        let named = match self {
            Zone::Utc => return Some(shown.unix_time()),
            Zone::Fixed { seconds } => return Some(shown.unix_time() - i64::from(*seconds)),
            Zone::Named(named) => *named,
        };
        let mut found = [None; FOUND_MAX];
        let found = DateTime::find_n(
            &mut found,
            shown.year(),
            shown.month(),
            shown.month_day(),
            shown.hour(),
            shown.minute(),
            shown.second(),
            0,
            named,
        );
        Some(match (*found.ok()?.data().first()?)? {
            FoundDateTimeKind::Normal(moment) => moment.unix_time(),
            FoundDateTimeKind::Skipped { before_transition, .. } => {
                shown.unix_time() - i64::from(before_transition.local_time_type().ut_offset())
            }
        })
    }
}
