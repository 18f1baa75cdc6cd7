//! What balancers that were found are called, so that the connections of each are known to be its own.

use super::Found;
use crate::imports::Problem;
use crate::input::Place;
use std::collections::BTreeMap;

/// The name of each balancer, in the same order, for [`crate::pools::answers_to`]: its command, or the path of its cgroup
/// where several have the same command; and a problem for those that cannot be told apart by either.
#[must_use]
pub fn balancer_names(found: &[Found]) -> (Vec<String>, Vec<Problem>) {
    let identities: Vec<_> = found.iter().map(|one| (one.command.as_str(), one.cgroup.as_deref())).collect();
    let named = names(&identities);
    let alike = found.iter().zip(&named).filter(|(_, named)| named.is_none());
    let problems = alike.map(|(one, _)| {
        let message = format!(
            "runs beside another {} in the same cgroup: their connections cannot be told apart",
            one.command
        );
        Problem::warning("balancers-alike", Place::of_file(&one.label()), message).hint(
            "run each as a unit or container of its own, or judge their pools together with --pools FILE",
        )
    });
    let problems = problems.collect();
    let names = named.into_iter().zip(found).map(|(name, one)| name.unwrap_or_else(|| one.command.clone()));
    (names.collect(), problems)
}

/// `None`: like another one.
fn names(found: &[(&str, Option<&str>)]) -> Vec<Option<String>> {
    let (mut commands, mut cgroups) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
    for &(command, cgroup) in found {
        *commands.entry(command).or_default() += 1;
        *cgroups.entry((command, cgroup)).or_default() += 1;
    }
    let name = |&(command, cgroup): &(&str, Option<&str>)| {
        if commands.get(command) == Some(&1) {
            return Some(command.to_owned());
        }
        // The root cgroup is everybody's who has no unit: its path names nobody.
        let cgroup = cgroup.filter(|path| !path.trim_matches('/').is_empty())?;
        (cgroups.get(&(command, Some(cgroup))) == Some(&1)).then(|| cgroup.to_owned())
    };
    found.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_name_while_it_is_the_only_one() {
        let named = names(&[
            ("haproxy", Some("/system.slice/haproxy.service")),
            ("nginx", Some("/system.slice/nginx.service")),
            ("nginx", Some("/docker/0123456789ab")),
        ]);
        assert_eq!(
            named,
            [
                Some("haproxy".into()),
                Some("/system.slice/nginx.service".into()),
                Some("/docker/0123456789ab".into())
            ]
        );
    }

    #[test]
    fn those_of_one_cgroup_cannot_be_told_apart() {
        assert_eq!(names(&[("nginx", Some("/a")), ("nginx", Some("/a"))]), [None, None]);
        assert_eq!(names(&[("nginx", None), ("nginx", Some("/a"))]), [None, Some("/a".into())]);
        assert_eq!(names(&[("nginx", Some("/")), ("nginx", Some("/a"))])[0], None);
        assert_eq!(names(&[("nginx", Some("/"))]), [Some("nginx".into())]);
    }
}
