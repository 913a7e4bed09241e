#include "params_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QJsonArray>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>

#include <algorithm>
#include <limits>

namespace histoloom {

namespace {

// What it means in a viewer, where the schema, which is for programs too, says it otherwise.
QString about(const QString &name, const QJsonObject &property) {
    static const QMap<QString, QString> OURS{
        {"annotations", ParamsDialog::tr("A file of annotated regions with classes: ASAP's XML with groups, or GeoJSON from QuPath")},
        {"out_dir", ParamsDialog::tr("Report, pictures and tables; empty: a temporary folder, which goes with the result")},
    };
    return OURS.value(name, property["description"].toString());
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
    box->setDecimals(property["maximum"].toDouble() > 1000 ? 0 : 3);  // areas are whole square micrometres
    box->setRange(open ? 0.0 : property["minimum"].toDouble(), property["maximum"].toDouble());
    box->setSingleStep(0.05);
    box->setValue(property["default"].toDouble());
    if (open) box->setSpecialValueText(ParamsDialog::tr("not given"));
    return box;
}

QLabel *small_print(const QString &text) {
    auto *about = new QLabel(text);
    about->setWordWrap(true);
    about->setMinimumWidth(320);
    QFont small = about->font();
    small.setPointSizeF(small.pointSizeF() * 0.85);
    about->setFont(small);
    about->setForegroundRole(QPalette::PlaceholderText);
    return about;
}

}  // namespace

ParamsDialog::ParamsDialog(const QString &title, const QJsonObject &schema, const QStringList &names, QWidget *parent) : QDialog(parent) {
    setWindowTitle(title);
    form_ = new QFormLayout(this);
    form_->setFieldGrowthPolicy(QFormLayout::FieldsStayAtSizeHint);
    form_->setVerticalSpacing(4);
    for (const QString &name : names) add(name, schema["properties"].toObject()[name].toObject());
    auto *buttons = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel);
    buttons->button(QDialogButtonBox::Ok)->setText(tr("Start"));
    form_->addRow(buttons);
    connect(buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    setAttribute(Qt::WA_DeleteOnClose);
}

QComboBox *ParamsDialog::add_choice(const QString &name, const QString &label, const QStringList &choices, const QString &about) {
    auto *box = new QComboBox;
    box->setObjectName(name);
    box->addItems(choices);
    form_->insertRow(0, QString(), small_print(about));
    form_->insertRow(0, label, box);
    return box;
}

QWidget *ParamsDialog::file_row(QLineEdit *field, const QString &name, const QString &title) {
    auto *row = new QWidget;
    auto *layout = new QHBoxLayout(row);
    layout->setContentsMargins(0, 0, 0, 0);
    field->setMinimumWidth(260);
    auto *browse = new QPushButton("...");
    browse->setAutoDefault(false);
    layout->addWidget(field);
    layout->addWidget(browse);
    connect(browse, &QPushButton::clicked, this, [this, field, name, title] {
        const QString now = field->text();
        const QString kinds = name == "annotations" ? tr("Annotations (*.xml *.geojson *.json)") : QString();
        const QString chosen = name == "out_dir" ? QFileDialog::getExistingDirectory(this, title, now) : QFileDialog::getOpenFileName(this, title, now, kinds);
        if (!chosen.isEmpty()) field->setText(chosen);
    });
    return row;
}

void ParamsDialog::add(const QString &name, const QJsonObject &property) {
    const auto [type, open] = type_of(property);
    const QString label = property["title"].toString(name);  // older libraries have none
    QWidget *field = nullptr, *row = nullptr;
    if (type == "integer") field = whole_number(property);
    else if (type == "number") field = number(property, open);
    else if (type == "boolean") {
        auto *box = new QCheckBox;
        box->setChecked(property["default"].toBool());
        field = box;
    } else if (type == "string") {
        auto *line = new QLineEdit(property["default"].toString());
        field = line;
        row = file_row(line, name, label);
    } else return;
    field->setObjectName(name);
    fields_[name] = field;
    form_->addRow(label, row == nullptr ? field : row);
    form_->addRow(QString(), small_print(about(name, property)));
}

QJsonObject ParamsDialog::parameters() const {
    QJsonObject out;
    for (auto at = fields_.begin(); at != fields_.end(); ++at) {
        if (const auto *box = qobject_cast<QSpinBox *>(*at)) out[at.key()] = box->value();
        else if (const auto *check = qobject_cast<QCheckBox *>(*at)) out[at.key()] = check->isChecked();
        else if (const auto *real = qobject_cast<QDoubleSpinBox *>(*at); real != nullptr && (real->specialValueText().isEmpty() || real->value() > 0))
            out[at.key()] = real->value();
        else if (const auto *line = qobject_cast<QLineEdit *>(*at); line != nullptr && !line->text().trimmed().isEmpty())
            out[at.key()] = line->text().trimmed();
    }
    return out;
}

void ParamsDialog::fill(const QJsonObject &parameters) {
    for (auto at = fields_.begin(); at != fields_.end(); ++at) {
        const QJsonValue value = parameters[at.key()];
        if (value.isUndefined()) continue;
        if (auto *box = qobject_cast<QSpinBox *>(*at)) box->setValue(value.toInt(box->value()));
        else if (auto *check = qobject_cast<QCheckBox *>(*at)) check->setChecked(value.toBool(check->isChecked()));
        else if (auto *real = qobject_cast<QDoubleSpinBox *>(*at)) real->setValue(value.toDouble(real->value()));
        else if (auto *line = qobject_cast<QLineEdit *>(*at)) line->setText(value.toString(line->text()));
    }
}

}  // namespace histoloom
