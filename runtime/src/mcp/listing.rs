//! `tools/list`: what a caller may see, in a fixed order, page by page.
//!
//! A cursor names the last tool of a page and holds nothing else; it grants nothing, since every page is made from the list of the
//! caller who asks for it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::model::{CacheScope, ErrorData, ListToolsResult, Tool, ToolAnnotations};

use super::line::{Era, Listed};
use super::respond;
use crate::ids::ToolName;

/// Tools of one page: a few hundred definitions are what a model can use, and about 200 KiB.
pub(super) const PAGE_TOOLS_MAX: usize = 200;

/// How long a client may keep a list, in milliseconds: as long as a list may be stale after a change of claims or rules.
pub(super) const LIST_TTL_MS: u64 = 5_000;

/// One page of a caller's tools.
pub(super) fn page(
    tools: Vec<Listed>,
    cursor: Option<&str>,
    era: Era,
) -> Result<ListToolsResult, ErrorData> {
    let tools = ordered(tools);
    let after = cursor.map(open).transpose()?;
    let mut rest = tools
        .into_iter()
        .filter(|tool| after.as_ref().is_none_or(|after| tool.name > *after));
    let shown: Vec<Listed> = rest.by_ref().take(PAGE_TOOLS_MAX).collect();
    let next = rest.next().and(shown.last()).map(|last| seal(&last.name));
    let mut result = ListToolsResult::with_all_items(
        shown
            .into_iter()
            .map(|tool| definition(tool, era))
            .collect(),
    );
    result.next_cursor = next;
    if era == Era::Modern {
        result.ttl_ms = Some(LIST_TTL_MS);
        // Filtered by claims, so never shared between tokens (P43).
        result.cache_scope = Some(CacheScope::Private);
    }
    Ok(result)
}

/// The order in which every list of one caller stands, page by page and time after time (P32).
pub(super) fn ordered(mut tools: Vec<Listed>) -> Vec<Listed> {
    tools.sort_by(|left, right| left.name.cmp(&right.name));
    tools
}

fn seal(last: &ToolName) -> String {
    URL_SAFE_NO_PAD.encode(last.as_str())
}

fn open(cursor: &str) -> Result<ToolName, ErrorData> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| respond::bad_cursor())?;
    let text = String::from_utf8(bytes).map_err(|_| respond::bad_cursor())?;
    text.parse().map_err(|_| respond::bad_cursor())
}

fn definition(tool: Listed, era: Era) -> Tool {
    let mut shown = Tool::new(
        tool.name.as_str().to_owned(),
        crate::protect::clean(&tool.description).into_owned(),
        tool.input_schema,
    );
    shown.title = tool
        .title
        .map(|title| crate::protect::clean(&title).into_owned());
    // The legacy revisions know output schemas of objects alone.
    shown.output_schema = tool.output_schema.filter(|schema| {
        era == Era::Modern || schema.get("type").and_then(|kind| kind.as_str()) == Some("object")
    });
    let hints = ToolAnnotations::new()
        .read_only(tool.hints.read_only)
        .destructive(tool.hints.destructive)
        .idempotent(tool.hints.idempotent)
        .open_world(tool.hints.open_world);
    shown.with_annotations(hints)
}

#[cfg(test)]
mod tests {
    use super::super::tests::listed;
    use super::*;

    fn names(page: &ListToolsResult) -> Vec<&str> {
        page.tools.iter().map(|tool| tool.name.as_ref()).collect()
    }

    #[test]
    fn p32_pages_are_in_order_and_together_whole() {
        let count = PAGE_TOOLS_MAX * 2 + 50;
        let tools: Vec<Listed> = (0..count)
            .rev()
            .map(|n| listed(&format!("t{n:04}")))
            .collect();
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = page(tools.clone(), cursor.as_deref(), Era::Modern).unwrap();
            seen.extend(names(&page).into_iter().map(str::to_owned));
            pages += 1;
            assert_eq!(page.cache_scope, Some(CacheScope::Private));
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(pages, 3);
        assert_eq!(seen.len(), count);
        assert!(seen.is_sorted());
    }

    #[test]
    fn p32_a_full_last_page_has_no_cursor() {
        let tools: Vec<Listed> = (0..PAGE_TOOLS_MAX)
            .map(|n| listed(&format!("t{n}")))
            .collect();
        assert_eq!(page(tools, None, Era::Modern).unwrap().next_cursor, None);
    }

    #[test]
    fn a_cursor_that_is_none_of_ours_is_refused() {
        for cursor in ["", "!!", "YSBi", "/w"] {
            assert_eq!(
                page(vec![listed("a")], Some(cursor), Era::Modern).unwrap_err(),
                respond::bad_cursor(),
                "{cursor}"
            );
        }
    }

    #[test]
    fn p36_a_legacy_list_shows_output_schemas_of_objects_alone() {
        let schema = |kind: &str| {
            let mut tool = listed("a");
            let schema = serde_json::json!({ "type": kind });
            tool.output_schema = schema.as_object().cloned().map(Into::into);
            tool
        };
        let shown = |tool: Listed, era| {
            let page = page(vec![tool], None, era).unwrap();
            page.tools[0].output_schema.is_some()
        };
        assert!(shown(schema("object"), Era::Legacy));
        assert!(!shown(schema("array"), Era::Legacy));
        assert!(shown(schema("array"), Era::Modern));
    }
}
