//! The MD5 signature: the same for every request of an account on one calendar day, in effect a
//! bearer token for that day.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};

use crate::model::DateShift;

/// Lower-case hex MD5 of `yyyymmdd + username + secret key` (both documents, section 2).
pub(super) fn signature(username: &str, secret_key: &SecretString, date: NaiveDate) -> SecretString {
    let mut md5 = Md5::new();
    md5.update(date.format("%Y%m%d").to_string());
    md5.update(username);
    md5.update(secret_key.expose_secret());
    md5.finalize()
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
        .into()
}

/// How close to midnight in the provider's zone another date may be meant.
const NEAR: TimeDelta = TimeDelta::hours(2);

/// The day that is signed with at an instant, in the provider's zone. What was "tomorrow" when a
/// signature was refused before midnight is today when it is signed again just after it.
pub(super) fn date(now: DateTime<Utc>, zone: FixedOffset, shift: DateShift) -> NaiveDate {
    let today = day(now, zone);
    let shifted = match shift {
        DateShift::Yesterday => today.pred_opt(),
        DateShift::Today => None,
        DateShift::Tomorrow if day(now - NEAR, zone) != today => None,
        DateShift::Tomorrow => today.succ_opt(),
    };
    shifted.unwrap_or(today)
}

fn day(now: DateTime<Utc>, zone: FixedOffset) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

/// The other date that a refused signature may have been meant for: within two hours of midnight
/// in the provider's zone, whose clock or zone may differ from what we believe.
pub(super) fn neighbour(now: DateTime<Utc>, zone: FixedOffset) -> Option<DateShift> {
    let today = day(now, zone);
    if day(now - NEAR, zone) != today {
        Some(DateShift::Yesterday)
    } else if day(now + NEAR, zone) != today {
        Some(DateShift::Tomorrow)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beijing() -> FixedOffset {
        FixedOffset::east_opt(8 * 3600).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_documents_input_gives_its_md5() {
        // printf %s 20161023jcloud_00e7a31b1c5ea0efa9aa2f29c6559f7d61 | md5sum
        let date = NaiveDate::from_ymd_opt(2016, 10, 23).unwrap();
        let key = "e7a31b1c5ea0efa9aa2f29c6559f7d61".into();
        let signature = signature("jcloud_00", &key, date);
        assert_eq!(signature.expose_secret(), "a35685491fd80a80b40a718c3a5c5c56");
    }

    #[test]
    fn the_day_changes_at_midnight_in_the_providers_zone() {
        for (now, day) in [
            ("2026-11-22T15:59:59Z", "2026-11-22"),
            ("2026-11-22T16:00:00Z", "2026-11-23"),
        ] {
            assert_eq!(
                date(at(now), beijing(), DateShift::Today).to_string(),
                day,
                "{now}"
            );
        }
        let now = at("2026-12-31T16:30:00Z");
        assert_eq!(
            date(now, beijing(), DateShift::Yesterday).to_string(),
            "2026-12-31"
        );
        assert_eq!(
            date(now, beijing(), DateShift::Tomorrow).to_string(),
            "2027-01-01"
        );
        let noon = at("2026-12-31T04:00:00Z");
        assert_eq!(
            date(noon, beijing(), DateShift::Tomorrow).to_string(),
            "2027-01-01"
        );
    }

    #[test]
    fn only_near_midnight_another_date_may_be_meant() {
        for (now, shift) in [
            ("2026-11-22T14:00:00Z", Some(DateShift::Tomorrow)),
            ("2026-11-22T13:59:59Z", None),
            ("2026-11-22T15:59:59Z", Some(DateShift::Tomorrow)),
            ("2026-11-22T16:00:00Z", Some(DateShift::Yesterday)),
            ("2026-11-22T17:59:59Z", Some(DateShift::Yesterday)),
            ("2026-11-22T18:00:00Z", None),
            ("2026-11-22T04:00:00Z", None),
        ] {
            assert_eq!(neighbour(at(now), beijing()), shift, "{now}");
        }
    }
}
