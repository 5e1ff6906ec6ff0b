//! Where spans are sent: `otlp-endpoint`, or what OpenTelemetry's own variables say.
//!
//! What: the address, the service's name, and which traces are sampled. A variable that makes no sense is ignored with a
//! warning, because it may be meant for other programs; a setting that makes none is a fault.
//! Not here: `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_RESOURCE_ATTRIBUTES`, which the exporter reads by itself.

use http::Uri;
use http::uri::PathAndQuery;

use super::resolve::Resolver;
use super::resolved::Otlp;

/// What follows the base of a collector (OpenTelemetry, "Endpoint URLs for OTLP/HTTP").
const TRACES: &str = "/v1/traces";

impl Resolver<'_> {
    pub(super) fn otlp(&mut self) -> Option<Otlp> {
        let endpoint = if self.is_given("otlp-endpoint") {
            self.optional("otlp-endpoint", base)
        } else {
            let variables = [
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", whole as fn(&str) -> _),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", base),
            ];
            variables.into_iter().find_map(|(name, parse)| self.standard(name, parse))
        };
        let service = self.variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "poll".to_owned());
        let sampler = if self.is_given("otlp-sample-ratio") { None } else { self.sampler() };
        let sample_ratio = sampler.unwrap_or_else(|| self.one("otlp-sample-ratio", ratio));
        endpoint.map(|endpoint| Otlp { endpoint, service, sample_ratio })
    }

    /// The ratio by OpenTelemetry's own variables (its specification, "General SDK Configuration"), if they name a sampler.
    fn sampler(&mut self) -> Option<f64> {
        match self.standard("OTEL_TRACES_SAMPLER", sampler)? {
            Sampler::Ratio(ratio) => Some(ratio),
            // By the specification, 1 if there is none.
            Sampler::Argument => Some(self.standard("OTEL_TRACES_SAMPLER_ARG", ratio).unwrap_or(1.0)),
        }
    }

    fn standard<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.variable(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(what) => {
                self.warn(format!("{name} is ignored: {what}"));
                None
            }
        }
    }
}

/// A sampler, as `OTEL_TRACES_SAMPLER` names it.
#[derive(Debug, PartialEq)]
enum Sampler {
    Ratio(f64),
    /// The ratio is the sampler's argument.
    Argument,
}

/// Accepts only samplers that follow the caller's decision, because that is what this server does.
fn sampler(text: &str) -> Result<Sampler, String> {
    match text {
        "parentbased_always_on" => Ok(Sampler::Ratio(1.0)),
        "parentbased_always_off" => Ok(Sampler::Ratio(0.0)),
        "parentbased_traceidratio" => Ok(Sampler::Argument),
        _ => Err(format!(
            "{text:?} is none of parentbased_always_on, parentbased_always_off and parentbased_traceidratio"
        )),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

/// A URL that takes spans.
fn whole(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
    let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match url.scheme_str() {
        _ if cfg!(not(feature = "otlp")) => {
            Err("this build of poll-server was made without the feature otlp".to_owned())
        }
        // Not repeated: it may be a secret.
        _ if has_user => {
            Err("a URL with a user is not used: OTEL_EXPORTER_OTLP_HEADERS has the credentials".to_owned())
        }
        Some("https") if cfg!(not(feature = "tls")) => {
            Err("this build of poll-server was made without the feature tls".to_owned())
        }
        Some("http" | "https") if url.query().is_none() => Ok(url),
        _ => Err(format!("{text:?} is not an http or https URL, such as http://127.0.0.1:4318")),
    }
}

/// The base of a collector, or the URL itself.
fn base(text: &str) -> Result<Uri, String> {
    let url = whole(text)?;
    if url.path().ends_with(TRACES) {
        return Ok(url);
    }
    let path = PathAndQuery::try_from([url.path().trim_end_matches('/'), TRACES].concat());
    let mut parts = url.into_parts();
    parts.path_and_query = Some(path.map_err(|error| error.to_string())?);
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

#[cfg(test)]
#[cfg(all(feature = "otlp", feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_completed_and_a_whole_url_is_not() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://o.example/otlp", "https://o.example/otlp/v1/traces"),
            ("https://o.example/otlp/", "https://o.example/otlp/v1/traces"),
            ("https://o.example/v1/traces", "https://o.example/v1/traces"),
        ] {
            assert_eq!(base(text).unwrap().to_string(), expected);
        }
        assert_eq!(whole("http://o.example/here").unwrap().to_string(), "http://o.example/here");
        for text in
            ["", "127.0.0.1:4318", "collector", "grpc://o.example", "http://o.example/?a=b", "/v1/traces"]
        {
            assert!(
                base(text)
                    .is_err_and(|what| what.contains("such as http://127.0.0.1:4318")
                        || what.contains("is not a URL")),
                "{text}"
            );
        }
        assert!(base("http://me:hush@o.example").is_err_and(|what| !what.contains("hush")));
    }

    #[test]
    fn a_sampler_is_one_that_lets_the_caller_decide() {
        assert_eq!(sampler("parentbased_always_off"), Ok(Sampler::Ratio(0.0)));
        assert_eq!(sampler("parentbased_traceidratio"), Ok(Sampler::Argument));
        assert!(sampler("traceidratio").is_err_and(|what| what.contains("parentbased_traceidratio")));
        assert_eq!((ratio("0.25"), ratio("1"), ratio("0")), (Ok(0.25), Ok(1.0), Ok(0.0)));
        for text in ["", "x", "-0.1", "1.1", "nan", "inf"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }
}
