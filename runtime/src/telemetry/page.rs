//! Numbers as Prometheus reads them: the text exposition format 0.0.4, with every label escaped.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

/// A name and a value, which tell numbers of one family apart.
pub type Label = (&'static str, String);

/// Numbers of one kind.
#[derive(Debug, Clone)]
pub struct Family {
    /// Without `_total`, which a counter gets.
    pub name: &'static str,
    /// What it says, in a sentence without its full stop.
    pub help: &'static str,
    /// The numbers.
    pub samples: Samples,
}

/// Sum, number, and the buckets.
pub type Seconds = (f64, u64, Vec<(f64, u64)>);

/// The numbers of a family, each with its labels.
#[derive(Debug, Clone)]
pub enum Samples {
    /// They only grow, until the server starts anew.
    Counts(Vec<(Vec<Label>, u64)>),
    /// They are what they are now.
    Gauges(Vec<(Vec<Label>, f64)>),
    /// How long things took.
    Seconds(Vec<(Vec<Label>, Seconds)>),
}

impl Family {
    /// What only grows.
    pub fn counts(
        name: &'static str,
        help: &'static str,
        counts: impl IntoIterator<Item = (Vec<Label>, u64)>,
    ) -> Self {
        let samples = Samples::Counts(counts.into_iter().collect());
        Self {
            name,
            help,
            samples,
        }
    }

    /// One number that is what it is now.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            name,
            help,
            samples: Samples::Gauges(vec![(Vec::new(), value)]),
        }
    }
}

/// A count as a number of Prometheus, exact up to four thousand millions.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[derive(Debug)]
struct Page(Vec<Family>);

/// None of our counters points at a trace.
type NoExemplar<'a> = Option<&'a Exemplar<NoLabelSet, u64>>;

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let kind = match family.samples {
                Samples::Counts(_) => MetricType::Counter,
                Samples::Gauges(_) => MetricType::Gauge,
                Samples::Seconds(_) => MetricType::Histogram,
            };
            let mut all = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            match &family.samples {
                Samples::Counts(counts) => {
                    for (labels, count) in counts {
                        let mut one = all.encode_family(labels)?;
                        one.encode_counter(count, NoExemplar::None)?;
                    }
                }
                Samples::Gauges(gauges) => {
                    for (labels, value) in gauges {
                        all.encode_family(labels)?.encode_gauge(value)?;
                    }
                }
                Samples::Seconds(histograms) => {
                    for (labels, (sum, count, buckets)) in histograms {
                        let mut one = all.encode_family(labels)?;
                        one.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The page of these numbers.
pub fn print(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(families)));
    let mut page = String::new();
    prometheus_text::encode(&mut page, &registry)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_with_newlines_and_quotes_stays_one_label() {
        let odd = "a\nb\"} 1\nforged_total 99\\".to_owned();
        let page = print(vec![Family::counts(
            "calls",
            "Calls",
            [(vec![("tool", odd)], 7)],
        )])
        .unwrap();
        assert_eq!(
            page,
            "# HELP calls_total Calls\n# TYPE calls_total counter\n\
             calls_total{tool=\"a\\nb\\\"} 1\\nforged_total 99\\\\\"} 7\n"
        );
    }

    #[test]
    fn every_kind_of_number_is_printed_as_prometheus_reads_it() {
        let seconds = Family {
            name: "wait_seconds",
            help: "Waiting",
            samples: Samples::Seconds(vec![(
                vec![("tier", "T1".to_owned())],
                (1.5, 3, vec![(0.5, 1), (f64::INFINITY, 2)]),
            )]),
        };
        let page = print(vec![Family::gauge("places", "Places", 3.0), seconds]).unwrap();
        insta::assert_snapshot!(page, @r#"
        # HELP places Places
        # TYPE places gauge
        places 3.0
        # HELP wait_seconds Waiting
        # TYPE wait_seconds histogram
        wait_seconds_bucket{tier="T1",le="0.5"} 1
        wait_seconds_bucket{tier="T1",le="+Inf"} 3
        wait_seconds_sum{tier="T1"} 1.5
        wait_seconds_count{tier="T1"} 3
        "#);
    }
}
