#include "params_dialog.h"

#include <QCheckBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QJsonArray>
#include <QLabel>
#include <QPushButton>
#include <QSpinBox>

#include <algorithm>
#include <limits>

namespace histoloom {

namespace {

// What a pathologist calls a parameter; its own name where nothing better is known.
QString label_of(const QString &name) {
    static const QMap<QString, QString> LABELS{
        {"k", ParamsDialog::tr("Tissue classes")},
        {"seed", ParamsDialog::tr("Seed")},
        {"mpp", ParamsDialog::tr("\u00b5m per pixel")},
        {"min_region_um2", ParamsDialog::tr("Smallest region, \u00b5m\u00b2")},
        {"artefacts", ParamsDialog::tr("Skip artefacts")},
        {"n", ParamsDialog::tr("Tiles")},
        {"size_px", ParamsDialog::tr("Side, px")},
        {"steps", ParamsDialog::tr("Steps")},
        {"guidance", ParamsDialog::tr("Guidance")},
    };
    return LABELS.value(name, name);
}

// The type, and whether null is allowed beside it.
std::pair<QString, bool> type_of(const QJsonObject &property) {
    const QJsonValue type = property["type"];
    if (type.isString()) return {type.toString(), false};
    return {type.toArray().first().toString(), true};
}

QSpinBox *whole_number(const QJsonObject &property) {
    auto *box = new QSpinBox;
    const auto bounded = [](double value) { return static_cast<int>(std::min(value, static_cast<double>(std::numeric_limits<int>::max()))); };
    box->setRange(bounded(property["minimum"].toDouble()), bounded(property["maximum"].toDouble()));
    box->setValue(property["default"].toInt());
    return box;
}

QDoubleSpinBox *number(const QJsonObject &property, bool open) {
    auto *box = new QDoubleSpinBox;
    box->setDecimals(3);
    box->setRange(open ? 0.0 : property["minimum"].toDouble(), property["maximum"].toDouble());
    box->setSingleStep(0.05);
    box->setValue(property["default"].toDouble());
    if (open) box->setSpecialValueText(ParamsDialog::tr("not given"));
    return box;
}

}  // namespace

ParamsDialog::ParamsDialog(const QString &title, const QJsonObject &schema, const QStringList &names, QWidget *parent) : QDialog(parent) {
    setWindowTitle(title);
    auto *form = new QFormLayout(this);
    form->setFieldGrowthPolicy(QFormLayout::FieldsStayAtSizeHint);
    form->setVerticalSpacing(4);
    for (const QString &name : names) add(form, name, schema["properties"].toObject()[name].toObject());
    auto *buttons = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel);
    buttons->button(QDialogButtonBox::Ok)->setText(tr("Start"));
    form->addRow(buttons);
    connect(buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    setAttribute(Qt::WA_DeleteOnClose);
}

void ParamsDialog::add(QFormLayout *form, const QString &name, const QJsonObject &property) {
    const auto [type, open] = type_of(property);
    QWidget *field = nullptr;
    if (type == "integer") field = whole_number(property);
    else if (type == "number") field = number(property, open);
    else if (type == "boolean") {
        auto *box = new QCheckBox;
        box->setChecked(property["default"].toBool());
        field = box;
    } else return;
    field->setObjectName(name);
    fields_[name] = field;
    auto *about = new QLabel(property["description"].toString());
    about->setWordWrap(true);
    about->setMinimumWidth(320);
    QFont small = about->font();
    small.setPointSizeF(small.pointSizeF() * 0.85);
    about->setFont(small);
    about->setForegroundRole(QPalette::PlaceholderText);
    form->addRow(label_of(name), field);
    form->addRow(QString(), about);
}

QJsonObject ParamsDialog::parameters() const {
    QJsonObject out;
    for (auto at = fields_.begin(); at != fields_.end(); ++at) {
        if (const auto *box = qobject_cast<QSpinBox *>(*at)) out[at.key()] = box->value();
        else if (const auto *check = qobject_cast<QCheckBox *>(*at)) out[at.key()] = check->isChecked();
        else if (const auto *real = qobject_cast<QDoubleSpinBox *>(*at); real->specialValueText().isEmpty() || real->value() > 0)
            out[at.key()] = real->value();
    }
    return out;
}

}  // namespace histoloom
