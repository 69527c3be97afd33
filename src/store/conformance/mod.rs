//! What every engine of [`Store`](super::Store) has to pass. Each case gets a fresh, empty store.

pub(in crate::store) mod blobs;
pub(in crate::store) mod conversations;
pub(in crate::store) mod devices;
pub(in crate::store) mod inbox;
pub(in crate::store) mod key_packages;
pub(in crate::store) mod operations;
pub(in crate::store) mod registry;
pub(in crate::store) mod small_store;

/// Makes one test of each case of each area; `$open` gives a fresh store and what keeps it alive.
macro_rules! store_conformance {
    ($open:expr) => {
        $crate::store::conformance::store_conformance!(
            $open, registry;
            a_store_is_the_home_of_the_first_name_that_claims_it,
            a_registration_is_found_by_handle_and_by_key,
            a_repeated_registration_gives_no_second_row,
            a_handle_a_key_and_a_look_alike_are_each_refused,
            a_refused_registration_leaves_nothing_behind,
            a_given_up_handle_is_gone_and_stays_reserved,
            an_invite_admits_as_many_as_it_says,
            a_refused_registration_does_not_use_up_its_invite,
            an_expired_or_revoked_invite_admits_nobody,
            one_handle_wanted_by_many_at_once_goes_to_one,
            evidence_is_paged_by_handle,
        );
        $crate::store::conformance::store_conformance!(
            $open, devices;
            only_a_registered_key_takes_devices_in,
            a_device_is_found_and_listed,
            a_repeated_enrolment_changes_nothing,
            a_renewal_moves_the_end_and_nothing_else,
            an_older_renewal_is_superseded,
            an_id_keeps_its_keys,
            a_key_serves_one_device,
            a_revoked_device_never_comes_back,
            a_revocation_needs_a_device_of_the_account,
            accounts_do_not_see_each_others_devices,
            sixteen_devices_are_active_at_once,
            an_account_takes_in_256_devices_in_its_life,
            one_device_wanted_by_many_at_once_is_taken_in_once,
            evidence_is_paged_by_row,
        );
        $crate::store::conformance::store_conformance!(
            $open, key_packages;
            an_upload_is_kept_and_counted,
            a_repeated_upload_changes_nothing,
            an_init_key_is_taken_once,
            a_hundred_one_time_packages_are_kept,
            a_last_resort_package_is_replaced_for_good,
            packages_that_end_too_soon_make_room,
            a_claim_takes_the_oldest_of_each_active_device,
            the_last_resort_package_stays,
            a_repeated_claim_is_answered_alike_for_ten_minutes,
            a_claim_of_ones_own_leaves_the_calling_device_out,
            nobody_without_an_active_device_is_found,
            claims_of_one_target_are_limited,
            claims_of_all_targets_are_limited,
            a_revoked_device_uploads_claims_and_gives_nothing,
            a_renewed_device_begins_anew,
            many_claims_at_once_share_no_one_time_package,
            what_is_old_is_swept,
        );
        $crate::store::conformance::store_conformance!(
            $open, conversations;
            a_creation_is_whole,
            a_repeated_creation_is_answered_alike,
            a_pair_has_one_conversation,
            one_pair_wanted_by_many_at_once_has_one_winner,
            a_refused_creation_leaves_nothing_behind,
            frames_are_numbered_without_gaps,
            a_repeated_frame_is_answered_alike,
            one_commit_ends_an_epoch,
            a_repeated_commit_is_answered_alike,
            members_come_and_go_with_a_commit,
            a_commit_changes_members_by_the_rules_or_nothing,
            a_revoked_device_writes_nothing,
            a_stranger_learns_nothing,
            conversations_are_listed_in_pages,
            a_log_is_read_in_pages,
            a_frame_goes_with_the_last_inbox_that_points_to_it,
            who_comes_back_misses_nothing_that_was_for_it,
            who_left_does_not_see_the_log_move,
            no_frame_goes_under_an_inbox_whose_front_looks_young,
            an_id_is_known_after_its_frame_is_gone,
            no_id_of_an_epoch_that_is_over_is_kept,
        );
        $crate::store::conformance::store_conformance!(
            $open, inbox;
            what_happens_to_devices_is_told_in_order,
            a_new_device_reads_from_its_enrolment_on,
            pages_are_bounded_and_hold_something,
            a_cursor_moves_forward_only,
            a_cursor_beyond_the_head_is_refused,
            a_revoked_device_has_no_mailbox,
            nobody_reads_anothers_inbox,
            what_every_active_device_acknowledged_goes,
            revoked_and_expired_devices_are_not_waited_for,
            unacknowledged_events_go_after_some_days,
            an_account_without_active_devices_keeps_its_events_for_some_days,
            a_sweep_comes_to_every_account,
            the_noted_time_is_the_last_one,
        );
        $crate::store::conformance::store_conformance!(
            $open, small_store;
            a_value_is_replaced_by_who_knows_its_version,
            a_version_is_not_used_twice,
            accounts_do_not_share_names,
            a_revoked_device_writes_no_entry,
            each_version_has_one_writer,
            names_are_bounded_also_those_that_were_deleted,
        );
        $crate::store::conformance::store_conformance!(
            $open, blobs;
            an_upload_goes_on_where_it_is,
            a_blob_that_is_there_is_referred_to_at_once,
            each_account_gives_up_its_own_reference,
            room_is_taken_when_an_upload_begins,
            blobs_and_uploads_are_counted,
            all_blobs_together_are_bounded,
            a_revoked_device_sends_nothing,
            references_and_uploads_end,
            one_blob_finished_by_many_is_one,
            blobs_of_an_account_are_paged,
            blobs_of_all_are_paged_by_name,
        );
        $crate::store::conformance::store_conformance!(
            $open, operations;
            the_devices_of_a_suspended_account_write_nothing,
            a_suspended_account_is_given_nothing_of_and_reads_nothing,
            a_suspended_key_takes_no_device_in,
            a_suspension_follows_the_key,
            an_account_is_suspended_once_and_reinstated_once,
            an_unknown_and_a_given_up_handle_are_told_apart,
            a_suspended_account_loses_nothing,
            one_of_many_suspensions_at_once_is_audited,
            every_action_is_audited_and_pages_go_back,
            quotas_are_kept_by_key,
            a_quota_bounds_what_an_account_sends,
            usage_shows_the_largest_first,
        );
    };
    ($open:expr, $area:ident; $($case:ident),+ $(,)?) => {
        mod $area {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (store, _keep) = $open;
                    $crate::store::conformance::$area::$case(std::sync::Arc::new(store)).await;
                }
            )+
        }
    };
}

pub(super) use store_conformance;
