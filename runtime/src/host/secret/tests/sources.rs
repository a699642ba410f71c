//! Files and variables of the environment, and what is read from them when.

use super::*;

#[tokio::test]
async fn a_file_that_others_can_read_or_that_is_none_is_not_read() {
    let folder = Folder::new();
    let good = folder.put("good", VALUE);
    let read = |path: &str| {
        let path = Arc::new(FilePath::of(path));
        async move { path.read(None).await }
    };
    assert_eq!(read(&good).await.unwrap().expose(), VALUE);
    mode(Path::new(&good), 0o400);
    assert!(read(&good).await.is_ok());
    for bad in [0o640, 0o604, 0o620, 0o601, 0o644] {
        mode(Path::new(&good), bad);
        assert!(matches!(read(&good).await, Err(ReadError::Mode)), "{bad:o}");
    }
    mode(Path::new(&good), 0o600);
    let at = |name: &str| folder.0.path().join(name);
    symlink(&good, at("link")).unwrap();
    let link = at("link").to_str().unwrap().to_owned();
    assert!(matches!(read(&link).await, Err(ReadError::NotAFile)));
    let folder_itself = folder.0.path().to_str().unwrap();
    assert!(matches!(
        read(folder_itself).await,
        Err(ReadError::NotAFile)
    ));
    let missing = format!("{folder_itself}/missing");
    assert!(matches!(read(&missing).await, Err(ReadError::Open(_))));
    // Only root can give a file away.
    if chown(&good, Some(12_345), None).is_ok() {
        assert!(matches!(read(&good).await, Err(ReadError::Owner)));
    }
}

#[tokio::test]
async fn each_tenant_has_a_file_of_its_own_and_no_name_leads_out_of_it() {
    let folder = Folder::new();
    let path = format!("{}/{{tenant}}/tracker", folder.0.path().display());
    folder.put("acme/tracker", "value-of-acme");
    folder.put("%2E%2E%2Facme/tracker", "value-of-dots");
    let all = secrets(&[binding("tracker", &path, &["api.test"], "bearer")]);
    let bound = all
        .bound(&secret("secret tracker api.test bearer"))
        .unwrap();
    let value = async |tenant: &str| {
        let values = bound.values(&holder(tenant)).await;
        values.map(|values| text_of(&values.now))
    };
    assert_eq!(value("acme").await.unwrap(), "value-of-acme");
    assert_eq!(value("../acme").await.unwrap(), "value-of-dots");
    assert!(matches!(value("other").await, Err(ReadError::Open(_))));
    symlink(folder.0.path().join("acme"), folder.0.path().join("linked")).unwrap();
    assert!(matches!(value("linked").await, Err(ReadError::NotAFile)));
    assert!(all.readable().await[0].1.is_none());
}

#[tokio::test]
async fn a_file_that_is_replaced_counts_after_a_while_and_the_old_value_is_still_masked() {
    let folder = Folder::new();
    let file = folder.put("tracker", "old-value-1");
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\nold-value-1 new-value-2";
    let upstream = Upstream::answering(answer).await;
    let all = secrets(&[binding("tracker", &file, &["api.test"], "bearer")]);
    let grants = ["secret tracker api.test bearer"];
    let mut call = Call::new(upstream.address, &all, &grants);
    let first = call.get("http://api.test/", &[]).await.unwrap();
    assert_eq!(text(first).await, "*********** new-value-2");
    folder.put("tracker", "new-value-2");
    let soon = call.get("http://api.test/", &[]).await.unwrap();
    assert_eq!(text(soon).await, "*********** new-value-2");
    age(&all, "secret tracker api.test bearer").await;
    // A call that lent both, and one that never lent the old one.
    for call in [&mut call, &mut Call::new(upstream.address, &all, &grants)] {
        let later = call.get("http://api.test/", &[]).await.unwrap();
        assert_eq!(text(later).await, "*********** ***********");
    }
    let seen = upstream.seen();
    let bearer = |nth: usize, value: &str| seen[nth].contains(&format!("Bearer {value}\r\n"));
    assert!(bearer(0, "old-value-1") && bearer(1, "old-value-1"));
    assert!(bearer(2, "new-value-2") && bearer(3, "new-value-2"));
    // What is taken away is not used any longer.
    std::fs::remove_file(&file).unwrap();
    age(&all, "secret tracker api.test bearer").await;
    assert!(call.get("http://api.test/", &[]).await.is_err());
}

/// As if everything had been read long ago.
pub(super) async fn age(all: &Secrets, text: &str) {
    let bound = all.bound(&secret(text)).unwrap();
    let slot = bound.slots.get(&None).unwrap();
    let mut slot = slot.lock().await;
    let (_, read) = slot.now.as_mut().unwrap();
    *read = read.checked_sub(VAULT_TTL_MAX).unwrap();
}

#[tokio::test]
async fn a_variable_of_the_environment_is_read_once() {
    // Set for every test by cargo, and long enough.
    let name = "CARGO_MANIFEST_DIR";
    let mut binding = binding("tracker", "", &["api.test"], "bearer");
    binding.source = SecretSource::Env(name.to_owned());
    let all = secrets(&[binding.clone()]);
    let bound = all
        .bound(&secret("secret tracker api.test bearer"))
        .unwrap();
    let values = bound.values(&holder("acme")).await.unwrap();
    assert_eq!(text_of(&values.now), env!("CARGO_MANIFEST_DIR"));
    binding.source = SecretSource::Env("BAILIWICK_NO_SUCH_VARIABLE".to_owned());
    let unset = secrets(&[binding]).readable().await.remove(0).1.unwrap();
    assert!(matches!(unset, Err(ReadError::NoVariable(_))));
}
