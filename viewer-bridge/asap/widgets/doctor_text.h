// What the doctor found, as rich text. In: hl_doctor_json, the models folder that the user set ("" where none), the atlas file that was found
// beside the models. Out: library, device and why others are not used, models, atlas, calibration, ops, and what is missing with its remedy.
#pragma once

#include <QJsonObject>
#include <QString>

namespace histoloom {

QString doctor_text(const QJsonObject &report, const QString &models, const QString &atlas_file);

}  // namespace histoloom
