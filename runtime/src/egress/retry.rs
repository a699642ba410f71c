//! When a request of a guest is made again: as the operator says, and only where doing it twice is doing it once.
//!
//! Pure but for the time that it is told.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};

use super::error::EgressError;
use crate::config::Retry;

/// What came of an attempt.
#[derive(Debug, Clone, Copy)]
pub enum Attempt<'a> {
    /// An answer with this head.
    Answered(StatusCode, &'a HeaderMap),
    /// None.
    Failed(&'a EgressError),
}

impl Retry {
    /// Whether a request may be made more than once at all (RFC 9110 §9.2.2), given that it has no body.
    pub fn covers(&self, method: &Method) -> bool {
        self.attempts > 1
            && matches!(
                *method,
                Method::GET | Method::HEAD | Method::PUT | Method::DELETE
            )
    }

    /// How long to wait before the next attempt, if there is one. `dice` are random: pauses of many callers shall not agree.
    pub fn pause(
        &self,
        made: u32,
        came: Attempt<'_>,
        dice: u64,
        now: SystemTime,
    ) -> Option<Duration> {
        if made >= self.attempts {
            return None;
        }
        let asked = match came {
            Attempt::Failed(error) => error.is_passing().then_some(Duration::ZERO)?,
            Attempt::Answered(status, fields) => {
                let asked = fields.get(RETRY_AFTER).map(|value| value.to_str().ok());
                let asked = asked.map(|text| text.and_then(|text| retry_after(text, now)));
                match (status, asked) {
                    // Whoever says "too many" without a time does not want to be asked again.
                    (StatusCode::TOO_MANY_REQUESTS, None) => return None,
                    (
                        StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT,
                        asked,
                    ) => match asked {
                        None => Duration::ZERO,
                        Some(asked) => asked?,
                    },
                    _ => return None,
                }
            }
        };
        let doubled = 2_u32.saturating_pow(made.saturating_sub(1));
        let longest = self.first.saturating_mul(doubled).min(self.most);
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(dice.checked_rem(micros.saturating_add(1)).unwrap_or(0));
        Some(asked.saturating_add(jitter))
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::Reason;
    use super::*;

    const THRICE: Retry = Retry {
        attempts: 3,
        first: Duration::from_millis(100),
        most: Duration::from_millis(150),
    };

    fn answered(made: u32, status: u16, after: Option<&str>) -> Option<Duration> {
        let mut fields = HeaderMap::new();
        if let Some(after) = after {
            fields.insert(RETRY_AFTER, HeaderValue::from_str(after).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        THRICE.pause(made, Attempt::Answered(status, &fields), 0, now)
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_is_final_is_not() {
        for passing in [502, 503, 504] {
            assert_eq!(
                answered(1, passing, None),
                Some(Duration::ZERO),
                "{passing}"
            );
        }
        for last in [
            200, 204, 301, 400, 401, 404, 408, 409, 418, 429, 500, 501, 505,
        ] {
            assert_eq!(answered(1, last, None), None, "{last}");
        }
        assert!(answered(2, 503, None).is_some());
        assert_eq!(
            answered(3, 503, None),
            None,
            "the third attempt is the last"
        );
        let never = Retry::default();
        assert!(!never.covers(&Method::GET));
        for last in [
            EgressError::Denied(Reason::NotGranted),
            EgressError::Denied(Reason::Silent),
            EgressError::OutOfTime,
            EgressError::ResponseTooLarge,
        ] {
            let wait = THRICE.pause(1, Attempt::Failed(&last), 0, SystemTime::now());
            assert_eq!(wait, None, "{last}");
        }
    }

    #[test]
    fn only_methods_that_may_be_repeated_are() {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            assert!(THRICE.covers(&method));
        }
        for method in [Method::POST, Method::PATCH] {
            assert!(!THRICE.covers(&method));
        }
    }

    #[test]
    fn the_server_says_how_long_to_wait_in_seconds_or_as_a_date() {
        assert_eq!(answered(1, 429, Some("7")), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(answered(1, 503, Some(date)), Some(Duration::from_secs(10)));
        let past = "Sun, 06 Nov 1994 08:49:07 GMT";
        assert_eq!(answered(1, 503, Some(past)), Some(Duration::ZERO));
        for wrong in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(answered(1, 503, Some(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_never_agree() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let none = HeaderMap::new();
        let pause = |made, dice| {
            let came = Attempt::Answered(status, &none);
            THRICE
                .pause(made, came, dice, SystemTime::UNIX_EPOCH)
                .unwrap()
        };
        assert_eq!(pause(1, 100_000), Duration::from_millis(100));
        assert_eq!(pause(1, 100_001), Duration::ZERO);
        assert_eq!(pause(2, 150_000), Duration::from_millis(150));
        assert_eq!(pause(2, 150_001), Duration::ZERO);
        assert!(pause(1, u64::MAX) <= Duration::from_millis(100));
    }
}
