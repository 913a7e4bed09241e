// A dialog for some parameters of a job, built from the library's JSON schema: titles, ranges, defaults and a sentence each. Texts are files or
// folders.
#pragma once

#include <QDialog>
#include <QJsonObject>
#include <QMap>
#include <QStringList>

class QComboBox;
class QFormLayout;
class QLineEdit;

namespace histoloom {

class ParamsDialog : public QDialog {
    Q_OBJECT

public:
    ParamsDialog(const QString &title, const QJsonObject &schema, const QStringList &names, QWidget *parent);
    // What was asked for; what was left open is not in it.
    QJsonObject parameters() const;
    // Shows these values, as far as there are fields for them.
    void fill(const QJsonObject &parameters);
    // A choice above the parameters that is none of them.
    QComboBox *add_choice(const QString &name, const QString &label, const QStringList &choices, const QString &about);

private:
    void add(const QString &name, const QJsonObject &property);
    QWidget *file_row(QLineEdit *field, const QString &name, const QString &title);

    QFormLayout *form_;
    QMap<QString, QWidget *> fields_;
};

}  // namespace histoloom
