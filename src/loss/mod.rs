//! Contrastive, matching, masked-language and answer losses: functions of tensors only.
