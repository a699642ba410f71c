use std::path::Path;
use std::time::Duration;

use super::super::{compile, package, testing};
use super::*;
use crate::engine::testing::engine;

const SERVES: &str =
    r#"(component (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)))"#;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tools")).unwrap();
        Self { dir }
    }

    fn tools(&self) -> config::Tools {
        config::Tools {
            dir: self.dir.path().join("tools"),
            cache_dir: self.dir.path().join("cache"),
            tags: Default::default(),
            config: Default::default(),
            prefix: Vec::new(),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("tools").join(file)
    }

    /// Puts a package there as people should: written aside, then renamed.
    fn put(&self, file: &str, tool: &str, version: &str) {
        let mut manifest = testing::manifest(tool, &[]);
        manifest.version = version.to_owned();
        let bytes = package::write(&wat::parse_str(SERVES).unwrap(), &manifest).unwrap();
        let aside = self.dir.path().join("aside");
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, self.path(file)).unwrap();
    }

    fn unwatched(&self) -> Catalog {
        Catalog::unwatched(self.tools(), engine(), compile::testing::compiler(), |_| ()).unwrap()
    }
}

fn version(catalog: &Catalog, tool: &str) -> Option<String> {
    Some(catalog.find(tool)?.package().manifest().version.clone())
}

fn kinds(changes: &[Change]) -> Vec<(&str, &str)> {
    let kind = |change: &Change| match change.kind {
        ChangeKind::Admitted { .. } => "admitted",
        ChangeKind::Retired { .. } => "retired",
        ChangeKind::Refused { .. } => "refused",
    };
    changes
        .iter()
        .map(|change| (&*change.file, kind(change)))
        .collect()
}

#[tokio::test]
async fn a_bad_package_is_refused_and_the_others_stay_up() {
    let place = Place::new();
    place.put("good.wasm", "good", "1");
    std::fs::write(place.path("bad.wasm"), "not wasm").unwrap();
    let catalog = place.unwatched();
    let changes = catalog.rescan().await.unwrap();
    assert_eq!(
        kinds(&changes),
        [("bad.wasm", "refused"), ("good.wasm", "admitted")]
    );
    assert!(catalog.find("good").is_some() && catalog.find("bad").is_none());
    assert_eq!(catalog.snapshot().refused[0].file, "bad.wasm");
    assert_eq!(catalog.rescan().await.unwrap(), []);
}

#[tokio::test]
async fn what_is_served_follows_the_files() {
    let place = Place::new();
    let catalog = place.unwatched();
    let epochs = catalog.changed();
    let epoch = || *epochs.borrow();
    place.put("a.wasm", "a", "1");
    catalog.rescan().await.unwrap();
    assert_eq!((version(&catalog, "a").as_deref(), epoch()), (Some("1"), 1));
    let held = catalog.find("a").unwrap();
    place.put("a.wasm", "a", "2");
    assert_eq!(
        kinds(&catalog.rescan().await.unwrap()),
        [("a.wasm", "retired"), ("a.wasm", "admitted")]
    );
    assert_eq!((version(&catalog, "a").as_deref(), epoch()), (Some("2"), 2));
    // Who holds a tool holds exactly that one.
    assert_eq!(held.package().manifest().version, "1");
    std::fs::write(place.path("a.wasm"), "broken").unwrap();
    assert_eq!(
        kinds(&catalog.rescan().await.unwrap()),
        [("a.wasm", "retired"), ("a.wasm", "refused")]
    );
    assert!(catalog.find("a").is_none());
    std::fs::remove_file(place.path("a.wasm")).unwrap();
    catalog.rescan().await.unwrap();
    assert!(catalog.snapshot().refused.is_empty());
}

#[tokio::test]
async fn a_collision_refuses_the_later_package_unless_it_has_a_prefix() {
    let place = Place::new();
    place.put("a.wasm", "same", "1");
    place.put("b.wasm", "same", "2");
    let catalog = place.unwatched();
    assert_eq!(
        kinds(&catalog.rescan().await.unwrap()),
        [("a.wasm", "admitted"), ("b.wasm", "refused")]
    );
    assert_eq!(version(&catalog, "same").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_name_that_is_no_name_finds_nothing() {
    let place = Place::new();
    let catalog = place.unwatched();
    assert!(
        catalog.find("").is_none()
            && catalog.find("../a").is_none()
            && catalog.find(&"a".repeat(65)).is_none()
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_changes_nothing() {
    let place = Place::new();
    place.put("a.wasm", "a", "1");
    let catalog = place.unwatched();
    catalog.rescan().await.unwrap();
    std::fs::rename(place.tools().dir, place.dir.path().join("away")).unwrap();
    assert!(matches!(
        catalog.rescan().await,
        Err(CatalogError::Folder { .. })
    ));
    assert!(catalog.find("a").is_some());
}

#[tokio::test]
async fn the_watcher_sees_what_is_put_changed_and_removed() {
    let place = Place::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let on_change = move |changes: &[Change]| {
        changes
            .iter()
            .for_each(|change| tell.send(change.clone()).unwrap())
    };
    let catalog = Catalog::open(
        place.tools(),
        engine(),
        compile::testing::compiler(),
        on_change,
    )
    .await
    .unwrap();
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(60), told.recv())
            .await
            .unwrap()
            .unwrap()
            .kind
    };
    place.put("a.wasm", "a", "1");
    assert!(matches!(next().await, ChangeKind::Admitted { .. }));
    assert!(catalog.find("a").is_some());
    place.put("a.wasm", "a", "2");
    assert!(matches!(next().await, ChangeKind::Retired { .. }));
    assert!(matches!(next().await, ChangeKind::Admitted { .. }));
    assert_eq!(version(&catalog, "a").as_deref(), Some("2"));
    std::fs::remove_file(place.path("a.wasm")).unwrap();
    assert!(matches!(next().await, ChangeKind::Retired { .. }));
    assert!(catalog.find("a").is_none());
}

#[tokio::test]
async fn without_a_folder_there_is_no_catalog() {
    let place = Place::new();
    let tools = config::Tools {
        dir: Path::new("/nowhere/tools").to_owned(),
        ..place.tools()
    };
    let opened = Catalog::open(tools, engine(), compile::testing::compiler(), |_| ()).await;
    assert!(matches!(
        opened,
        Err(CatalogError::Watch { .. } | CatalogError::Folder { .. })
    ));
}

#[tokio::test]
async fn a_name_stays_with_its_file_over_a_start() {
    let place = Place::new();
    place.put("b.wasm", "same", "1");
    place.unwatched().rescan().await.unwrap();
    // While nobody looked, a file came whose name is before.
    place.put("a.wasm", "same", "2");
    let catalog = place.unwatched();
    let changes = catalog.rescan().await.unwrap();
    assert_eq!(
        kinds(&changes),
        [("a.wasm", "refused"), ("b.wasm", "admitted")]
    );
    assert_eq!(version(&catalog, "same").as_deref(), Some("1"));
    drop(catalog);

    // While its file is broken the name serves nothing, also after a start.
    std::fs::write(place.path("b.wasm"), "broken").unwrap();
    let catalog = place.unwatched();
    catalog.rescan().await.unwrap();
    assert_eq!(version(&catalog, "same"), None);
    drop(catalog);

    // With the file its names go, also while nobody looked.
    std::fs::remove_file(place.path("b.wasm")).unwrap();
    let catalog = place.unwatched();
    catalog.rescan().await.unwrap();
    assert_eq!(version(&catalog, "same").as_deref(), Some("2"));
    drop(catalog);
    place.put("0.wasm", "same", "3");
    let catalog = place.unwatched();
    catalog.rescan().await.unwrap();
    assert_eq!(version(&catalog, "same").as_deref(), Some("2"));
}

#[tokio::test]
async fn names_that_cannot_be_read_stop_the_start() {
    let place = Place::new();
    place.put("a.wasm", "a", "1");
    place.unwatched().rescan().await.unwrap();
    let cache = place.dir.path().join("cache");
    let all = std::fs::read_dir(cache).unwrap();
    let names = all
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "json"))
        .unwrap();
    std::fs::write(names, "[{").unwrap();
    let opened = Catalog::unwatched(
        place.tools(),
        engine(),
        compile::testing::compiler(),
        |_| (),
    );
    assert!(matches!(opened, Err(CatalogError::Names { .. })));
}
