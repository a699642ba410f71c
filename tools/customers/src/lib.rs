//! Keeps customers, whose personal data it never has but for the call that shows it.
//!
//! Name, e-mail address and telephone number are annotated with `"action": "encrypt"`: the host puts handles in their place
//! before the tool is called. Only `customer_show` takes [`Reveal`], so only that tool asks to open them.

use bailiwick_sdk::tools;

#[tools]
mod customers {
    use bailiwick_sdk::kv::Store;
    use bailiwick_sdk::{Json, Kv, Reveal, RevealError, ToolError};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// The operator's name for the store.
    const STORE: &str = "customers";
    /// The number of the newest customer.
    const NEWEST: &str = "newest";
    /// What keys of records begin with.
    const RECORD: &str = "customer/";
    /// Customers of one page.
    const PAGE: usize = 50;

    #[derive(Deserialize, JsonSchema)]
    struct New {
        /// The organization for which the customer stands.
        #[schemars(length(min = 1, max = 128))]
        company: String,
        /// The name of the customer.
        #[schemars(length(min = 1, max = 128), extend("x-pii" = {"class": "person-name", "action": "encrypt"}))]
        name: String,
        /// The e-mail address.
        #[serde(default)]
        #[schemars(extend("x-pii" = {"class": "email", "action": "encrypt"}))]
        email: Option<String>,
        /// The telephone number.
        #[serde(default)]
        #[schemars(extend("x-pii" = {"class": "phone", "action": "encrypt"}))]
        phone: Option<String>,
    }

    /// A record as it is kept: handles where there is personal data.
    #[derive(Clone, Deserialize, Serialize, JsonSchema)]
    struct Record {
        /// The number of the customer.
        number: i64,
        /// The organization.
        company: String,
        /// A handle in place of the name.
        name: String,
        /// A handle in place of the e-mail address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email: Option<String>,
        /// A handle in place of the telephone number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<String>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Records {
        /// The customers, the newest first.
        customers: Vec<Record>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Shown {
        /// The organization.
        company: String,
        /// The name.
        name: String,
        /// The e-mail address.
        #[serde(skip_serializing_if = "Option::is_none")]
        email: Option<String>,
        /// The telephone number.
        #[serde(skip_serializing_if = "Option::is_none")]
        phone: Option<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Number {
        /// The number of the customer.
        #[schemars(range(min = 1))]
        number: i64,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Before {
        /// Only customers with smaller numbers; the newest if left out.
        #[serde(default)]
        #[schemars(range(min = 1))]
        before: Option<i64>,
    }

    /// Adds a customer. Name, e-mail address and telephone number are encrypted before this tool sees them.
    #[tool(title = "Add a customer")]
    fn customer_add(new: New, kv: Kv) -> Result<String, ToolError> {
        let store = kv.store(STORE)?;
        let number = store.increment(NEWEST, 1)?;
        let record = Record {
            number,
            company: new.company,
            name: new.name,
            email: new.email,
            phone: new.phone,
        };
        let text = serde_json::to_string(&record).map_err(ToolError::failed)?;
        store.set(&key(number), text)?;
        Ok(format!("Customer {number} was added."))
    }

    /// Lists customers, the newest first, at most 50 at a time, with handles in place of personal data.
    #[tool(title = "List customers")]
    fn customer_list(page: Before, kv: Kv) -> Result<Json<Records>, ToolError> {
        let store = kv.store(STORE)?;
        let newest = store.get_text(NEWEST)?;
        let newest = newest.and_then(|text| text.parse().ok()).unwrap_or(0_i64);
        let mut next = page.before.map_or(newest, |before| newest.min(before - 1));
        let mut customers = Vec::new();
        while next >= 1 && customers.len() < PAGE {
            // What was deleted leaves a gap, which costs a look.
            let from = (next - PAGE as i64 + 1).max(1);
            let keys: Vec<String> = (from..=next).rev().map(key).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let found = store.get_many(&keys)?.into_iter().flatten();
            let read = found.map(|bytes| record(&bytes));
            customers.extend(read.collect::<Result<Vec<_>, _>>()?);
            next = from - 1;
        }
        customers.truncate(PAGE);
        Ok(Json(Records { customers }))
    }

    /// Shows how to reach a customer: opens the name, the e-mail address and the telephone number.
    #[tool(title = "Show a customer")]
    fn customer_show(which: Number, kv: Kv, reveal: Reveal) -> Result<Json<Shown>, ToolError> {
        let record = find(&kv.store(STORE)?, which.number)?;
        let open = |handle: Option<String>| -> Result<Option<String>, RevealError> {
            handle.map(|handle| reveal.open(&handle)).transpose()
        };
        Ok(Json(Shown {
            company: record.company,
            name: reveal.open(&record.name)?,
            email: open(record.email)?,
            phone: open(record.phone)?,
        }))
    }

    /// Deletes a customer, for good.
    #[tool(title = "Delete a customer")]
    fn customer_delete(which: Number, kv: Kv) -> Result<String, ToolError> {
        let store = kv.store(STORE)?;
        find(&store, which.number)?;
        store.delete(&key(which.number))?;
        Ok(format!("Customer {} was deleted.", which.number))
    }

    fn key(number: i64) -> String {
        format!("{RECORD}{number}")
    }

    fn record(bytes: &[u8]) -> Result<Record, ToolError> {
        serde_json::from_slice(bytes)
            .map_err(|_| ToolError::failed("a record in the store is damaged"))
    }

    fn find(store: &Store, number: i64) -> Result<Record, ToolError> {
        let held = store.get(&key(number))?;
        let held = held.ok_or_else(|| {
            ToolError::failed(format_args!(
                "there is no customer {number}; `customer_list` has the numbers"
            ))
        })?;
        record(&held)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn new(company: &str) -> New {
            New {
                company: company.into(),
                name: "sealed_n".into(),
                email: Some("sealed_e".into()),
                phone: None,
            }
        }

        #[test]
        fn a_customer_is_kept_with_handles_and_shown_opened() {
            let kv = Kv::in_memory([STORE]);
            let added = customer_add(new("Engines"), kv.clone()).unwrap();
            assert_eq!(added, "Customer 1 was added.");
            let Json(listed) = customer_list(Before { before: None }, kv.clone()).unwrap();
            assert_eq!(listed.customers[0].email.as_deref(), Some("sealed_e"));
            let opens = Reveal::of([("sealed_n", "Ada"), ("sealed_e", "ada@example.com")]);
            let Json(shown) = customer_show(Number { number: 1 }, kv.clone(), opens).unwrap();
            assert_eq!((shown.name.as_str(), shown.phone), ("Ada", None));
            assert_eq!(shown.email.as_deref(), Some("ada@example.com"));
            let closed = Reveal::of([]);
            let denied = customer_show(Number { number: 1 }, kv, closed);
            assert!(matches!(denied, Err(ToolError::Denied(_))));
        }

        #[test]
        fn what_was_deleted_is_gone_and_the_list_goes_on() {
            let kv = Kv::in_memory([STORE]);
            for _ in 0..120 {
                customer_add(new("Engines"), kv.clone()).unwrap();
            }
            customer_delete(Number { number: 119 }, kv.clone()).unwrap();
            assert!(customer_delete(Number { number: 119 }, kv.clone()).is_err());
            let mut seen = Vec::new();
            let mut before = None;
            loop {
                let Json(page) = customer_list(Before { before }, kv.clone()).unwrap();
                let Some(last) = page.customers.last() else {
                    break;
                };
                before = Some(last.number);
                seen.extend(page.customers.iter().map(|one| one.number));
            }
            let all: Vec<_> = (1..=120).rev().filter(|one| *one != 119).collect();
            assert_eq!(seen, all);
        }
    }
}
