use super::*;
use crate::identity::testing::NOW;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

async fn ground() -> Ground {
    let args = ConfigArgs {
        config: Some(folder().join("bailiwick.toml")),
        dir: PathBuf::new(),
    };
    Ground::read(&args).await.unwrap()
}

fn templates() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let all = entries.map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = all.filter(|path| path.is_dir()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn every_template_does_what_it_expects() {
    let ground = ground().await;
    let mut count = 0;
    for dir in templates() {
        let scene = ground.scene(&dir.join("expect.toml")).unwrap();
        let rules = ground.rules(Some(&dir), &scene).unwrap();
        assert!(rules.warnings().is_empty(), "{:?}", rules.warnings());
        for (case, verdict) in scene.told().zip(ground.test(&rules, &scene, NOW)) {
            let said = line(&scene.expectations.file, &case, &verdict);
            assert_eq!(verdict, Verdict::Pass, "{said}");
        }
        count += 1;
    }
    assert_eq!(count, 7);
}

/// Expectations are worth what they notice: no rule of a template can be taken away without a case that fails.
#[tokio::test]
async fn no_rule_of_a_template_can_be_lost_unnoticed() {
    let ground = ground().await;
    for dir in templates() {
        let scene = ground.scene(&dir.join("expect.toml")).unwrap();
        let text = std::fs::read_to_string(dir.join("rules.cedar")).unwrap();
        let whole: cedar_policy::PolicySet = text.parse().unwrap();
        let all: Vec<_> = whole.policies().collect();
        for lost in &all {
            let kept = all.iter().filter(|one| one.id() != lost.id());
            let kept: Vec<_> = kept.filter_map(|one| one.to_cedar()).collect();
            let sources = [("rules.cedar".to_owned(), kept.join("\n"))];
            let rules = scene.rules(&sources).unwrap();
            let verdicts = ground.test(&rules, &scene, NOW);
            let noticed = verdicts.iter().any(|verdict| *verdict != Verdict::Pass);
            assert!(noticed, "{}: {lost}", dir.display());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decided_never_passes() {
    let ground = ground().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expect.toml");
    let tool = "[[tool]]\nname = \"pay\"\ninput = { properties = { amount = { type = \"integer\" } }, required = [\"amount\"], additionalProperties = false }\n";
    for (case, expected) in [
        ("client = \"c\"\nclaims = { sub = \"a\" }", "tools:call"),
        (
            "claims = { sub = \"a\", scope = \"tools:call\" }",
            "`client_id`",
        ),
        (
            "client = \"c\"\nclaims = { scope = \"tools:call\" }",
            "`sub`",
        ),
        (
            "client = \"c\"\nclaims = { sub = \"a\", scope = \"tools:call\", roles = 7 }",
            "`roles`",
        ),
        (
            "client = \"c\"\nissuer = \"https://other.example\"\nclaims = { sub = \"a\" }",
            "is not configured",
        ),
        (
            "client = \"c\"\nclaims = { sub = \"a\", scope = \"tools:call\" }",
            "`/amount` is required",
        ),
        (
            "client = \"c\"\ncapability = \"clock\"\narguments = { amount = 1 }\nclaims = { sub = \"a\", scope = \"tools:call\" }",
            "does not ask for `clock`",
        ),
    ] {
        let text =
            format!("{tool}[[case]]\nname = \"x\"\ntool = \"pay\"\nexpect = \"deny\"\n{case}\n");
        std::fs::write(&file, text).unwrap();
        let scene = ground.scene(&file).unwrap();
        let rules = scene.rules(&[]).unwrap();
        let verdicts = ground.test(&rules, &scene, NOW);
        let [Verdict::Void(why)] = verdicts.as_slice() else {
            panic!("{case}: {verdicts:?}");
        };
        assert!(why.contains(expected), "{case}: {why}");
    }
    // A tool that nobody described is not one that is refused.
    let text =
        "[[case]]\nname = \"x\"\ntool = \"gone\"\nexpect = \"hidden\"\nclaims = { sub = \"a\" }\n";
    std::fs::write(&file, text).unwrap();
    let scene = ground.scene(&file).unwrap();
    let verdicts = ground.test(&scene.rules(&[]).unwrap(), &scene, NOW);
    assert!(matches!(&verdicts[0], Verdict::Void(why) if why.contains("there is no tool `gone`")));
}
